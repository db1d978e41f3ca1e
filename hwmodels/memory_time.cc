// Time of a kernel that moves memory: bytes over achieved bandwidth, faster while the L2 cache holds them, plus a fixed
// cost.
#include "hwmodels/kernel_time.h"

namespace foretrain {

KernelTime memory_time(const MemoryKernel& k, const GpuSpec& gpu, const EfficiencySpec& spec) {
  const MemoryEfficiency& e = spec.memory;
  const double moved = (k.read + k.written).base();
  // What the kernel before it wrote still lies in L2 when it fits there; the share falls with the square of the working
  // set.
  const double fill = gpu.l2_cache.base() > 0 ? moved / gpu.l2_cache.base() : 1e9;
  const double held = 1.0 / (1.0 + fill * fill);
  const double narrow = k.op == MemoryOp::cast ? e.casts : e.scalar;
  const double speed =
      gpu.memory_bandwidth.base() * e.bandwidth * (k.vectorised ? 1.0 : narrow) * (1.0 + (e.cached - 1.0) * held);
  const double stream = moved / speed;
  return {Seconds::from_base(stream) + e.fixed, e.fixed.base() > stream ? KernelBound::latency : KernelBound::memory};
}

}  // namespace foretrain
