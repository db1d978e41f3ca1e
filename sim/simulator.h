/// The simulator: executes a task graph event by event.
#pragma once

#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain::sim {

/// What to record besides the makespan; all off is the fastest (search).
struct SimulateOptions {
  bool memory = true;    ///< memory peaks
  bool releases = true;  ///< released_by
};

/// Runs `graph`. A task starts when its dependencies and its lane's earlier tasks have ended; its duration passes; then
/// its flow shares the links with all others, weighted max-min fairly. Same-instant events are taken in order of their
/// sequence numbers. Throws std::invalid_argument naming a task on a cycle when the graph has one.
Timeline simulate(const TaskGraph& graph, const SimulateOptions& options = {});

}  // namespace foretrain::sim
