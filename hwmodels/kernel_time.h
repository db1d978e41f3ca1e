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

/// Whose fused attention runs. `best`: the fastest published for the GPU, which attention_time predicts.
enum class AttentionLibrary { best, cudnn, flash_2, flash_1, flash_triton };

/// Time of a library's attention over that of the GPU's best kernels:
///
///     FlashAttention-2   1.65 on Hopper: 3 is 1.5-2.0 times as fast forward and 1.5-1.75 times backward (Shah et al.
///                        2024, arXiv 2407.08608); 3.0 forward and 3.3 backward on data-centre Blackwell, which it has
///                        no kernels for (cudnn-frontend's benchmarks on B200, 8192 to 131072 keys); elsewhere the best
///     the first          twice FlashAttention-2 (Dao 2023, arXiv 2307.08691)
///     in Triton          1.7 times FlashAttention-2's (1.3 to 2.5: Dao 2023, section 4.1)
///     cuDNN              on Ampere 1.16 forward and 1.25 backward (cudnn-frontend's benchmarks on A100); elsewhere the
///                        best
double library_slowdown(AttentionLibrary library, const GpuSpec& gpu, bool backward);

/// What a measured attention kernel does that a trainer's does not by default.
struct AttentionVariant {
  bool paged = false;          ///< keys and values found through a page table
  bool block_scaled = false;   ///< fp8 with a scale for each block of values (mxfp8)
  bool deterministic = false;  ///< backward without atomic sums
};
/// Time of such a kernel over the plain one's: `paged` of the GPU's efficiencies; block scales 1.08 forward and 1.27
/// backward; a deterministic backward 1.18 at head dimensions up to 128, nothing above (the last two: medians of
/// cudnn-frontend's benchmarks on GB200 and GB300, cuDNN 9.22).
double variant_slowdown(const AttentionVariant& variant, const Attention& attention, const EfficiencySpec& e);

}  // namespace foretrain
