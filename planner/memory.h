/// What lies in each GPU's memory: labelled bytes per pipeline stage.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "hwmodels/cluster.h"
#include "planner/plan.h"

namespace foretrain {

struct Problem;
struct PlanCosts;
class PeakMoments;

enum class MemoryLabel : std::uint8_t {
  parameters,
  gradients,
  optimizer,
  activations,
  temporary,
  logits,
  gathered,
  workspace,
  communication,
  cuda_context,
  allocator
};
inline constexpr std::array<std::string_view, 11> kMemoryLabelNames = {
    "parameters", "gradients", "optimizer",     "activations",  "temporary", "logits",
    "gathered",   "workspace", "communication", "cuda_context", "allocator"};

/// Bytes of one pipeline stage's GPU at its peak. The labels sum to `total`; whole bytes.
struct MemoryAnatomy {
  std::int32_t stage = 0;
  std::int64_t layers = 0;
  std::array<std::int64_t, kMemoryLabelNames.size()> by_label{};
  std::int64_t total = 0;
  /// What the allocator's pool takes on top where there is room: cached blocks that it frees again under pressure. Not
  /// in `total`; reserved and device memory as they are measured hold it.
  std::int64_t pool_growth = 0;
  std::int64_t& operator[](MemoryLabel l) { return by_label[static_cast<std::size_t>(l)]; }
  std::int64_t operator[](MemoryLabel l) const { return by_label[static_cast<std::size_t>(l)]; }
};

/// Model state of a GPU that holds `parameters` parameters (before data-parallel sharding) and shares them with
/// `shard_ranks` ranks under ZeRO: parameters, gradients and optimizer states with the framework's bytes per parameter.
///
///     stage 0: all whole. 1: optimizer / K. 2: gradients and optimizer / K. 3: everything / K.
///
/// fp32 master weights count as optimizer. (DeepSpeed's textbook split also leaves the master weights whole at stage 1;
/// docs/models/memory.md shows both.)
struct StateBytes {
  std::int64_t parameters = 0, gradients = 0, optimizer = 0;
};
StateBytes state_bytes(std::int64_t parameters, int zero_stage, std::int64_t shard_ranks, double parameter_bytes,
                       double gradient_bytes, double optimizer_bytes);

/// Memory of every stage at its peak: state, and the largest sum over the moments of its schedule. Closed form; equals
/// the peak of the simulated timeline.
std::vector<MemoryAnatomy> memory_anatomy(const Problem& problem, const Plan& plan, const PlanCosts& costs,
                                          PeakMoments& moments);
MemoryAnatomy stage_memory(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                           std::int32_t stage);

/// What a GPU can give to a job: device memory as the driver reports it. The CUDA context and NCCL are labels of
/// the anatomy, so nothing else is taken off.
Bytes memory_limit(const GpuSpec&);

}  // namespace foretrain
