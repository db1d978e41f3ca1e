/// How much slower tensor cores run in a training step than in a short benchmark of one kernel on one GPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <variant>

#include "hwmodels/efficiency.h"
#include "hwmodels/gpu.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// 16-bit rate that a Blackwell GPU's power pays for over long runs, by its data-sheet power P:
///
///     1166 TFLOP/s (P / 1000 W)^0.9
///
/// Least squares in logarithms through four published measurements of cuBLAS: 617 TFLOP/s at 500 W and 1,600 at 1,400 W
/// (GB300, facebookexperimental/triton pull request 2023), 945 at 750 W (8192^3 on a B200 capped there,
/// meta-pytorch/tritonbench pull requests 1009 and 1011), 1,110 at 1,000 W (B200, median of SimuMax's GEMMs in loops of
/// over 100 ms). None is off by more than 6 %.
inline FlopsPerSecond blackwell_power_rate(double watts) { return 1166 * std::pow(watts / 1000, 0.9) * TFLOP_per_s; }

/// Rate of a tensor-core kernel over long runs, when the power limit has lowered the clocks, against its rate in a
/// burst of some milliseconds (what kernel_time predicts, fitted to short benchmarks).
///
/// Hopper: aiconfigurator's bf16 GEMMs (random data, CUDA graph replay) reach 790 TFLOP/s up to 8 ms, longer ones
/// 693-702 (H100) and 717-723 (H200): 0.87 and 0.91 of the ceiling. fp8 GEMMs of 50 ms reach 1382 and 1350 TFLOP/s
/// (Azure/AI-benchmarking-guide): 0.96 and 0.91 of the ceilings. Attention of more than 32 ms: 0.93 (H100) and 0.96
/// (H200) of shorter ones.
///
/// Blackwell: no faster than Hopper, nor than its power pays for. GEMM in 16 bits: blackwell_power_rate; in 8 bits 2.33
/// times that, as Hopper at 500 W (1341 against 575 TFLOP/s, meta-pytorch/float8_experimental pull request 100); 4 bits
/// as Hopper's 8. Attention: 1,237 TFLOP/s on a B200 that starts at 1,450 and has fallen from 1,965 to 1,580 MHz after
/// 100 ms (flashinfer-ai/flashinfer pull request 2899), other powers as above.
///
/// Others: 1. Ampere's GEMMs do not fall with length (FlagPerf, Azure/AI-benchmarking-guide: 254-259 TFLOP/s), nor do
/// those of an RTX PRO 6000 (compute capability 12.0; aiconfigurator, up to 40 ms).
/// `at_length`: the rate of `e` was measured over long runs already.
inline double long_run_rate(const GpuSpec& gpu, const EfficiencySpec& e, const Kernel& kernel, bool at_length) {
  const bool blackwell = gpu.compute_capability >= 100 && gpu.compute_capability < 110;
  const auto* gemm = std::get_if<Gemm>(&kernel);
  const auto* attention = std::get_if<Attention>(&kernel);
  if ((!blackwell && gpu.architecture != "Hopper") || at_length || (gemm == nullptr && attention == nullptr)) return 1;
  const DType dtype = gemm != nullptr ? gemm->dtype : attention->dtype;
  const bool narrow = dtype == DType::fp8 || dtype == DType::fp4;
  const double hopper = gemm == nullptr ? 0.94 : narrow ? 0.93 : 0.89;
  const auto top = peak(gpu, dtype);
  if (!blackwell || gpu.tdp_watts <= 0 || !top || dtype == DType::fp4) return hopper;
  const FlopsPerSecond power = blackwell_power_rate(gpu.tdp_watts);
  if (gemm != nullptr) {
    const double share = e.gemm.sustained[static_cast<std::size_t>(dtype)];
    return std::min(hopper, power * (narrow ? 2.33 : 1.0) / (*top * share));
  }
  constexpr double kBurst = 1450.0 / 2250, kLong = 1237.0 / 1166;
  return narrow ? hopper : std::min(hopper, power * kLong / (*top * kBurst));
}

/// Rate of tensor-core kernels inside a running model over the rate that kernel_time predicts, which was fitted to
/// kernels alone and of some milliseconds. `format`: what most of the step's GEMMs multiply in.
///
/// Hopper and Blackwell: long_run_rate of GEMMs in that format, for attention and other formats beside it too. The
/// limit is on the power of tens of milliseconds, of which those GEMMs take most, and sets one clock for all. GEMMs of
/// a profiled feed-forward block are no slower than alone (meta-pytorch/float8_experimental pull requests 100 and 298),
/// so nothing more is taken for being in a model. Ampere, inside a model: medians of GEMMs of at least 256 GFLOP,
/// Vidur's profiles of models over aiconfigurator's isolated ones: 0.75 / 0.80. This is not the power limit, so it
/// holds where the rate was measured at length too. Volta: DeepBench's rows are of a 300 W DGX-1 and no in-model
/// profile was found; FlagPerf's and MAMF's best shapes (94-96 TFLOP/s) over DeepBench's (104) give 0.92. Others: no
/// measurement; assumed as Ampere.
inline double sustained_rate(const GpuSpec& gpu, const EfficiencySpec& e, DType format, bool at_length) {
  if (gpu.architecture == "Volta") return at_length ? 1 : 0.92;
  if (gpu.architecture == "Hopper" || std::string_view(gpu.architecture).starts_with("Blackwell"))
    return long_run_rate(gpu, e, Gemm{.dtype = format == DType::fp16 ? DType::bf16 : format}, at_length);
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
