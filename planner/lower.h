/// Lowering: a plan becomes the task graph of one training step.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/pass_memory.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"
#include "sim/task_graph.h"

namespace foretrain {

/// Lanes of one simulated rank.
struct StageLanes {
  sim::LaneId host = 0, compute = 0, forward_transfer = 0, backward_transfer = 0, data = 0;
};

/// A folded step: one device per pipeline stage stands for the ranks that behave alike.
struct StepGraph {
  sim::TaskGraph graph;
  std::vector<StageLanes> lanes;  ///< [stage]
};

struct LowerOptions {
  bool memory = true;  ///< memory effects (a search needs only the time)
};

/// Lowers a legal plan. Per stage: the passes in the schedule's order; activations and their gradients between stages;
/// data-parallel buckets beside the last backward passes, or after them; ZeRO-3 gathers and reductions layer by layer,
/// two gathers ahead; the gradient norm over all stages; optimizer; parameter gathers. `moments` gives the allocator's
/// slack, as in memory_anatomy.
StepGraph lower(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                const LowerOptions& options = {});

/// `block` as `count` blocks that sum to it.
std::vector<BlockCost> split(const BlockCost& block, std::int32_t count);

}  // namespace foretrain
