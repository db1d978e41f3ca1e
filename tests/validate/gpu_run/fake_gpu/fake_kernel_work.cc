// Matrix products and attention that compute nothing: cuBLASLt and cuDNN need a GPU to plan. Takes the operands that
// kernel_work.cc takes.
#include "base/spec_error.h"
#include "tests/validate/gpu_run/fake_gpu/fake_stream.h"
#include "validate/gpu/run/bound_work.h"
#include "validate/gpu/run/kernel_work.h"

namespace foretrain::gpu {

class Libraries {};
std::shared_ptr<Libraries> open_libraries() { return nullptr; }

Bind bind_kernel(const StepWork& kernel, const WorkContext& context, const std::shared_ptr<Libraries>&) {
  if (const auto* memory = std::get_if<MemoryKernel>(&kernel)) return bind_memory_work(*memory, context);
  if (const auto* gemm = std::get_if<Gemm>(&kernel)) {
    const Gemm g = *gemm;
    return [g](Operands& o) -> Launch {
      o.read(storage_of(g.dtype), g.batch * g.m * g.k);
      o.read(storage_of(g.dtype), g.batch * g.k * g.n);
      g.accumulate ? static_cast<void>(o.state(g.batch * g.m * g.n))
                   : static_cast<void>(o.write(g.batch * g.m * g.n * 4));
      return [](cudaStream_t stream) {
        fake_gpu::enqueue(stream, [] {});
        return cudaSuccess;
      };
    };
  }
  const Attention a = std::get<Attention>(kernel);
  return [a](Operands& o) -> Launch {
    o.read(storage_of(a.dtype), a.batch * a.seq_q * a.heads_q * a.d_qk);
    o.write(a.batch * a.seq_q * a.heads_q * a.d_v * 2);
    return [](cudaStream_t stream) {
      fake_gpu::enqueue(stream, [] {});
      return cudaSuccess;
    };
  };
}

/// There are no results to check.
std::vector<CheckResult> check_kernels() { return {}; }

}  // namespace foretrain::gpu
