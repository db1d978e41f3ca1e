/// What a block of operations costs on one GPU: its operations lowered to a task graph and simulated once.
#pragma once

#include <array>
#include <vector>

#include "base/time_point.h"
#include "planner/layer_ops.h"
#include "planner/problem.h"

namespace foretrain {

/// Three numbers that let blocks be joined without simulating them again. A block whose kernels are all launched by
/// then takes `gpu`; its launches keep the host busy for `host`; begun by an idle host and an idle GPU together it
/// takes `alone`. On an in-order lane with in-order launches
///
///     end = max(start of the GPU lane + gpu, start of the host's launches + alone)
///
/// exactly, as every path through the block either starts on the GPU lane or branches off the host lane, and a block's
/// collectives end inside it: what would hide behind the next block's kernels is counted as exposed.
struct BlockCost {
  Picoseconds gpu, host, alone;
  std::array<Picoseconds, kTimeLabelNames.size()> by_label{};  ///< of `gpu`; sums to it
};

/// What the tensor x context ranks of one stage and replica still have of their healthy speed. They run in step: the
/// slowest GPU, and the slowest link of a group, set the pace of all.
struct CellHealth {
  double compute = 1;          ///< of every kernel
  LinkShares tensor, context;  ///< of the collectives inside a block
  friend bool operator==(const CellHealth&, const CellHealth&) = default;
};

/// `first`, then `second`, as one block.
BlockCost operator+(const BlockCost& first, const BlockCost& second);
/// `block`, `times` times.
BlockCost repeat(const BlockCost& block, std::int64_t times);

/// Costs of `ops`; `backward` chooses the launch cost. Groups: tensor and context ranks as in `shape`.
BlockCost block_cost(const std::vector<Op>& ops, const BlockShape& shape, const Problem& problem,
                     const FrameworkSpec& framework, bool backward, const CellHealth& health = {});

/// The ranks of a collective inside a block.
GroupLayout block_group(GroupKind kind, const BlockShape& shape, const ClusterSpec& cluster);

/// fp16 and bf16 run at one rate on tensor cores that have both. The fp16 efficiencies of the catalogue come from
/// profiles inside models, the bf16 ones from isolated kernels; a step starts from the latter and applies
/// sustained_rate itself, so that it is not counted twice. What a calibration measured in fp16 stays so.
Kernel in_model_format(Kernel kernel, const GpuSpec& gpu, const Calibration* calibration);

/// Time of one operation at full speed.
/// Tensor cores at the rate they sustain in a step; flash attention of the framework's generation.
Seconds op_time(const Op& op, const BlockShape& shape, const Problem& problem, const FrameworkSpec& framework,
                const CellHealth& health = {});

/// Times of all of `ops`; compute beside collectives is slowed by the SMs these hold (hwmodels/sm_share.h). Where
/// launches block, an operation's launch is part of its time.
std::vector<Picoseconds> op_times(const std::vector<Op>& ops, const BlockShape& shape, const Problem& problem,
                                  const FrameworkSpec& framework, bool backward, const CellHealth& health = {});

/// Host time of a launch that runs ahead of the GPU: none with CUDA graphs and where launches block.
Seconds launch_ahead(const Problem& problem, const FrameworkSpec& framework, bool backward);

}  // namespace foretrain
