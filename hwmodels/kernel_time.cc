#include "hwmodels/kernel_time.h"

#include <fmt/format.h>

#include "base/spec_error.h"

namespace foretrain {

FlopsPerSecond required_peak(const GpuSpec& gpu, DType t) {
  const auto rate = peak(gpu, t);
  if (!rate) throw SpecError(gpu.name, fmt::format("this GPU has no {}", kDTypeNames[static_cast<std::size_t>(t)]));
  return *rate;
}

KernelTime kernel_time(const Kernel& kernel, const GpuSpec& gpu, const EfficiencySpec& e) {
  struct Visitor {
    const GpuSpec& gpu;
    const EfficiencySpec& e;
    KernelTime operator()(const Gemm& g) const { return gemm_time(g, gpu, e); }
    KernelTime operator()(const Attention& a) const { return attention_time(a, gpu, e); }
    KernelTime operator()(const MemoryKernel& m) const { return memory_time(m, gpu, e); }
  };
  return std::visit(Visitor{gpu, e}, kernel);
}

}  // namespace foretrain
