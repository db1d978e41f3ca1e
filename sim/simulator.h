/// The simulator: executes a task graph event by event.
#pragma once

#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain::sim {

/// What to record besides the makespan; all off is the fastest (search).
struct SimulateOptions {
  bool memory = true;    ///< memory peaks
  bool releases = true;  ///< released_by
  bool rates = false;    ///< rate_changes (traces)
};

/// Runs `graph`. A task starts when its dependencies and its lane's earlier tasks have ended; its duration passes; then
/// its flow shares the links with all others, weighted max-min fairly. Same-instant events are taken in the order in
/// which they were caused; a task that ends releases the next of its lane first, then those that depend on it in the
/// order of add_dependency(). Memory levels are those after all that starts and ends at an instant
/// (sim/memory_meter.h). Throws std::invalid_argument naming the tasks of a cycle when the graph has one, and
/// std::overflow_error when simulated time passes kLongestSimulatedTime.
Timeline simulate(const TaskGraph& graph, const SimulateOptions& options = {});

}  // namespace foretrain::sim
