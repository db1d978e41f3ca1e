/// Lowering: a plan becomes the task graph of one training step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
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

/// A folded step: one device per pipeline stage, and class of replicas, stands for the ranks that behave alike.
struct StepGraph {
  sim::TaskGraph graph;
  std::vector<StageLanes> lanes;  ///< [replica x stages + stage]
  sim::LaneId all_stages = 0;     ///< what all stages do together: gradient norm, tied embeddings; of the first replica
  std::vector<Work> work;         ///< payloads of a kernel-level graph
  std::vector<Message> messages;  ///< payloads of other graphs, where LowerOptions::memory
};

class GroupHealth;

struct LowerOptions {
  bool memory = true;  ///< memory effects, and messages as payloads (a search needs only the time)
  bool kernels =
      false;  ///< every kernel and collective a task with its Work as payload, instead of a task for a block of layers
  /// Set where replicas are pipelines of single ranks: the ports that their messages go through.
  const GroupHealth* network = nullptr;
};

/// A pipeline that is simulated by itself, and stands for all that behave like it. Replicas of a gang run their
/// data-parallel collectives together.
struct SimulatedReplica {
  std::shared_ptr<const PlanCosts> costs;
  std::string name;               ///< "replica 3"; "" when it is the only one
  std::int64_t ranks = 1;         ///< that each of its devices stands for
  std::int32_t shard_gang = 0;    ///< of collectives over data x context ranks, or over those that share shards
  std::int32_t replica_gang = 0;  ///< of HSDP's sums over replicas of the shards
  // Of a step that is unfolded to its ranks:
  std::int32_t cell = 0;        ///< pipelines of one cell run their passes in step
  std::int64_t first_rank = 0;  ///< of stage 0
};

/// Lowers a legal plan. Per stage: the passes in the schedule's order; activations and their gradients between stages;
/// data-parallel buckets beside the last backward passes, or after them; ZeRO-3 gathers and reductions layer by layer,
/// two gathers ahead; the gradient norm over all stages; optimizer; parameter gathers. `moments` gives the allocator's
/// slack, as in memory_anatomy. The kernel-level graph describes the same step: its makespan is that of the other
/// within what joining blocks leaves out (docs/models/step.md).
StepGraph lower(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                const LowerOptions& options = {});

/// The same of replicas that differ. Their collectives start when all of a gang have come to them, and take the longest
/// that any of its links asks for.
StepGraph lower(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas,
                PeakMoments& moments, const LowerOptions& options = {});

/// `block` as `count` blocks that sum to it.
std::vector<BlockCost> split(const BlockCost& block, std::int32_t count);

}  // namespace foretrain
