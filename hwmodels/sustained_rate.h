/// How much slower tensor cores run in a training step than in a short benchmark of one kernel on one GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "hwmodels/gpu.h"

namespace foretrain {

/// Rate of tensor-core kernels inside a running model over their rate in isolated micro-benchmarks, by architecture. A
/// step keeps the tensor cores busy for seconds, so the power limit lowers the clock below what bursts of one kernel
/// reach.
///
/// Medians over GEMMs of at least 256 GFLOP, kernels profiled inside a model over aiconfigurator's isolated GEMMs
/// (random data both): A100 0.75 / 0.80 and H100 0.715 / 0.795 (Vidur's layer profiles). Blackwell: the one such pair,
/// SimuMax's efficiencies (B200, 0.485 / 0.68 = 0.72), comes from a host known to be limited in power or software;
/// until there is another, Hopper's value is assumed. Volta: DeepBench's rows are of a 300 W DGX-1 and no in-model
/// profile was found; FlagPerf's and MAMF's best shapes (94-96 TFLOP/s) over DeepBench's (104) give 0.92.
inline double sustained_rate(const GpuSpec& gpu) {
  if (gpu.architecture == "Volta") return 0.92;
  if (gpu.architecture == "Ampere") return 0.94;
  if (gpu.architecture == "Hopper") return 0.90;
  return 0.90;  // Assumed: as Hopper; no measurement yet.
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
