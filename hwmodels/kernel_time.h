/// How long a kernel runs on a GPU: tile and wave quantisation, rooflines, and efficiencies measured on real kernels.
#pragma once

#include "base/units.h"
#include "hwmodels/efficiency.h"
#include "hwmodels/gpu.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// What sets a kernel's time.
enum class KernelBound { tensor_core, memory, latency };
struct KernelTime {
  Seconds time;  ///< on the GPU, from first to last instruction; host launch cost is not in it
  KernelBound bound = KernelBound::tensor_core;
};

/// Predicted time of `kernel` on `gpu` with efficiencies `e` (of that GPU, or of its architecture when unmeasured).
/// Throws SpecError when the GPU has no such number format (fp8 on A100).
/// Derivation, fit and limits: docs/models/kernel.md.
KernelTime kernel_time(const Kernel& kernel, const GpuSpec& gpu, const EfficiencySpec& e);

/// The same for one kind of kernel.
KernelTime gemm_time(const Gemm& gemm, const GpuSpec& gpu, const EfficiencySpec& e);
KernelTime attention_time(const Attention& attention, const GpuSpec& gpu, const EfficiencySpec& e);
KernelTime memory_time(const MemoryKernel& kernel, const GpuSpec& gpu, const EfficiencySpec& e);

/// The data-sheet rate of `t`; SpecError when the GPU has no such format.
FlopsPerSecond required_peak(const GpuSpec& gpu, DType t);

}  // namespace foretrain
