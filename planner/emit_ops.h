/// Operations into a task graph: the one place where an Op becomes tasks, for a block on its own and for a whole step.
#pragma once

#include <array>
#include <vector>

#include "base/time_point.h"
#include "planner/layer_ops.h"
#include "sim/task_graph.h"

namespace foretrain {

/// Lanes of one device that operations run on.
struct OpLanes {
  sim::LaneId host = 0, compute = 0, tensor = 0, context = 0;
};

/// What to write beside each task.
struct OpMarks {
  std::array<sim::LabelId, kTimeLabelNames.size()> labels{};  ///< by TimeLabel
  sim::LabelId host = 0;
  std::int32_t index = sim::kNone, part = sim::kNone;
  std::int32_t first_payload = sim::kNone;  ///< payload of ops[0]; those of the others follow
  sim::TaskId after = sim::kNone;           ///< compute of the block before; a leading collective starts after it
};

/// The tasks that others depend on: a block's first launch and first kernel, and the task that ends when all of it has.
struct EmittedBlock {
  sim::TaskId first_host = sim::kNone, first = sim::kNone, last = sim::kNone;
};

/// Adds `ops`, taking `times`, each launched by the host for `host_launch` (0: no host tasks). Compute runs in order; a
/// collective starts after the compute before it; compute waits for it at once, or at the next Op::joins when it runs
/// beside. Everything ends inside the block.
EmittedBlock emit_ops(sim::TaskGraph& graph, const OpLanes& lanes, const OpMarks& marks, const std::vector<Op>& ops,
                      const std::vector<Picoseconds>& times, Picoseconds host_launch);

}  // namespace foretrain
