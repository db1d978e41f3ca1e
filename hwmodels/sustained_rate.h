/// How much slower tensor cores run in a training step than in a short benchmark of one kernel on one GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "hwmodels/dtype.h"
#include "hwmodels/gpu.h"

namespace foretrain {

/// Rate of tensor-core kernels inside a running model over the rate that kernel_time predicts, which was fitted to
/// kernels alone and of some milliseconds. `at_length`: that rate was measured over long runs already.
///
/// Ampere, inside a model: medians of GEMMs of at least 256 GFLOP, Vidur's profiles of models over aiconfigurator's
/// isolated ones: 0.75 / 0.80. Neither they nor long runs (FlagPerf, Azure/AI-benchmarking-guide: 254-259 TFLOP/s) fall
/// with length, so this holds where the rate was measured at length too.
///
/// Hopper, under the power limit: aiconfigurator's bf16 GEMMs (random data, CUDA graph replay) reach 790 TFLOP/s up to
/// 8 ms, longer ones 693-702 (H100) and 717-723 (H200): 0.87 and 0.91 of the ceiling. fp8 GEMMs of 50 ms reach 1382 and
/// 1350 TFLOP/s (Azure/AI-benchmarking-guide): 0.96 and 0.91 of the ceilings. GEMMs of a profiled feed-forward block
/// are no slower than alone (meta-pytorch/float8_experimental pull requests 100 and 298), so nothing more is taken for
/// being in a model.
///
/// Blackwell: no GEMM of more than 6 ms is published. Assumed: as Hopper.
/// Volta: DeepBench's rows are of a 300 W DGX-1 and no in-model profile was found; FlagPerf's and MAMF's best shapes
/// (94-96 TFLOP/s) over DeepBench's (104) give 0.92.
/// Others: no measurement; assumed as Ampere.
inline double sustained_rate(const GpuSpec& gpu, DType dtype = DType::bf16, bool at_length = false) {
  if (gpu.architecture == "Volta") return at_length ? 1 : 0.92;
  if (gpu.architecture == "Hopper" || gpu.architecture.starts_with("Blackwell")) {
    if (at_length) return 1;
    return dtype == DType::fp8 || dtype == DType::fp4 ? 0.93 : 0.89;
  }
  return 0.94;
}

/// Time of the slowest of `gpus` equal GPUs over that of a typical one: a synchronous step waits for it.
///
///     1 + sigma E[largest of n standard normal numbers],  E ~ normal quantile of (n - 0.375) / (n + 0.25)  (Blom 1958)
///
/// sigma = 1.5 %: power-limited GPUs of one model differ by 8 % on average between the whiskers of a cluster's box
/// plot, which are 5.4 sigma apart. Source: Sinha et al. 2022 (SC'22, arXiv 2208.11035). Needs gpus >= 1.
inline double slowest_of(std::int64_t gpus) {
  constexpr double kSigma = 0.015;
  if (gpus <= 1) return 1;
  const double p = (static_cast<double>(gpus) - 0.375) / (static_cast<double>(gpus) + 0.25);
  // Upper normal quantile: Abramowitz and Stegun 26.2.23, error below 4.5e-4.
  const double t = std::sqrt(-2 * std::log(1 - p));
  const double quantile =
      t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return 1 + kSigma * quantile;
}

}  // namespace foretrain
