/// What fraction of the data sheet real kernels reach on a GPU: the numbers that kernel_time takes from measurement.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/spec_node.h"
#include "base/units.h"
#include "hwmodels/dtype.h"
#include "hwmodels/gpu.h"

namespace foretrain {

/// Matrix multiplication (docs/models/kernel.md, "GEMM"). Seven numbers a GPU and one for each number format.
struct GemmEfficiency {
  /// Share of the data-sheet peak that the whole chip holds when every SM works (power, clocks, issue slots), by DType.
  std::array<double, kDTypeNames.size()> sustained = {0.9, 0.75, 0.78, 0.78, 0.65, 0.55};
  double headroom = 1.08;   ///< rate of an SM in the main loop of the largest tile while the chip is under its ceiling,
                            ///< against `sustained`
  double loop_start = 128;  ///< bytes of K that filling the pipeline and writing a tile cost, per row of the tile
  double tile_half = 24;    ///< harmonic tile edge at which an SM reaches half its rate
  double wave_overlap = 0.3;         ///< share of the idle part of the last wave that other work fills
  double memory = 0.85;              ///< share of the data-sheet bandwidth that operands and result stream with
  double transposed = 0.955;         ///< rate of layout NT (weight gradients) against TN and NN
  Seconds fixed = 3 * microseconds;  ///< first instruction to last with nothing to do
};

/// Fused attention (docs/models/kernel.md, "Attention").
struct AttentionEfficiency {
  double forward = 0.8;      ///< share of the peak that the matrix part reaches with every SM busy
  double backward = 0.65;    ///< the same for the backward kernel
  double fp8_forward = 0.7;  ///< the same for fp8, against the fp8 peak
  double fp8_backward = 0.4;
  double softmax = 0.8;      ///< share of the exponentials (16 a clock and SM) that matrix work does not hide
  double block_start = 128;  ///< keys' worth of time that a block of queries takes to start and finish
  double wave_overlap = 0.3;
  double paged = 1;  ///< time of kernels that find keys and values through a page table (serving engines), against
                     ///< those of a trainer
  Seconds fixed = 5 * microseconds;
};

/// Kernels that move memory (docs/models/kernel.md, "Memory").
struct MemoryEfficiency {
  double bandwidth = 0.87;  ///< share of the data-sheet bandwidth that long vectorised streams reach
  double scalar = 0.6;      ///< rate of kernels that load one narrow element a thread, against vectorised ones
  double casts = 0.6;       ///< the same for conversions between number formats
  double cached = 1.5;      ///< bandwidth of what the L2 cache still holds, against that of HBM
  Seconds fixed = 3 * microseconds;
};

/// Efficiencies of one GPU, read from hwmodels/catalogue/efficiency.json. The fields belong to kernel_time's formulae
/// (docs/models/kernel.md). Unmeasured GPUs take their architecture's values, and say so in `source`.
struct EfficiencySpec {
  std::string gpu;
  std::string source;              ///< which measured rows, or "from <gpu> of the same architecture"
  bool under_power_limit = false;  ///< rates were measured over long runs, so a step's tensor cores are no slower
  GemmEfficiency gemm;
  AttentionEfficiency attention;
  MemoryEfficiency memory;
};

/// Reads every entry of an efficiency file ("foretrain.efficiency/1"), in file order. An entry states all numbers, or
/// `from` (an earlier entry) and the numbers that differ. SpecError for misspelt keys and numbers out of range.
std::vector<EfficiencySpec> read_efficiencies(const SpecNode& file);

/// The entry of `gpu`, or else that of the measured GPU nearest in architecture (same vendor, then same architecture,
/// then nearest compute capability), with a `source` that says so. `known` must not be empty.
EfficiencySpec efficiency_of(const GpuSpec& gpu, const std::vector<EfficiencySpec>& known,
                             const std::vector<GpuSpec>& gpus);

}  // namespace foretrain
