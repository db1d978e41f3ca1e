/// Lowering: a plan becomes the task graph of one training step.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/pass_memory.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"
#include "planner/work.h"
#include "sim/task_graph.h"

namespace foretrain {

/// Lanes of one simulated rank. `tensor`, `context` and the sends are used by kernel-level graphs only.
struct StageLanes {
  sim::LaneId host = 0, compute = 0, forward_transfer = 0, backward_transfer = 0, data = 0;
  sim::LaneId tensor = 0, context = 0, forward_send = 0, backward_send = 0;
};

/// A folded step: one device per pipeline stage stands for the ranks that behave alike.
struct StepGraph {
  sim::TaskGraph graph;
  std::vector<StageLanes> lanes;  ///< [stage]
  sim::LaneId all_stages = 0;     ///< what all stages do together: gradient norm, tied embeddings
  std::vector<Work> work;         ///< payloads of a kernel-level graph
};

struct LowerOptions {
  bool memory = true;  ///< memory effects (a search needs only the time)
  bool kernels =
      false;  ///< every kernel and collective a task with its Work as payload, instead of a task for a block of layers
};

/// Lowers a legal plan. Per stage: the passes in the schedule's order; activations and their gradients between stages;
/// data-parallel buckets beside the last backward passes, or after them; ZeRO-3 gathers and reductions layer by layer,
/// two gathers ahead; the gradient norm over all stages; optimizer; parameter gathers. `moments` gives the allocator's
/// slack, as in memory_anatomy. The kernel-level graph describes the same step: its makespan is that of the other
/// within what joining blocks leaves out (docs/models/step.md).
StepGraph lower(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                const LowerOptions& options = {});

/// `block` as `count` blocks that sum to it.
std::vector<BlockCost> split(const BlockCost& block, std::int32_t count);

}  // namespace foretrain
