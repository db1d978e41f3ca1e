/// How much slower tensor cores run in a training step than in a short benchmark of one kernel.
#pragma once

#include "hwmodels/gpu.h"

namespace foretrain {

/// Rate of tensor-core kernels inside a running model over their rate in isolated micro-benchmarks, by architecture. A step keeps the
/// tensor cores busy for seconds, so the power limit lowers the clock below what bursts of one kernel reach.
///
/// Medians over GEMMs of at least 256 GFLOP, kernels profiled inside a model over aiconfigurator's isolated GEMMs
/// (random data both): A100 0.75 / 0.80 and H100 0.715 / 0.795 (Vidur's layer profiles), B200 0.485 / 0.68 (SimuMax's efficiencies).
/// No such pair for other GPUs: the architecture's value holds. Volta: DeepBench's rows are of a 300 W DGX-1 and no in-model
/// profile was found; FlagPerf's and MAMF's best shapes (94-96 TFLOP/s) over DeepBench's (104) give 0.92.
inline double sustained_rate(const GpuSpec& gpu) {
  if (gpu.architecture == "Volta") return 0.92;
  if (gpu.architecture == "Ampere") return 0.94;
  if (gpu.architecture == "Hopper") return 0.90;
  if (gpu.architecture == "Blackwell") return 0.72;
  return 0.90;  // Assumed: as Hopper; no measurement yet.
}

}  // namespace foretrain
