/// The timeline: when each task of a graph ran, what memory and links held, and where the time went.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time_point.h"
#include "base/units.h"
#include "sim/task_graph.h"

namespace foretrain::sim {

/// Peak memory of one device. `by_label` is what each label held at the instant of the peak; they sum to `bytes`.
struct MemoryPeak {
  std::int64_t bytes = 0;
  TimePoint at;
  std::vector<std::int64_t> by_label;  ///< [memory label]
};

/// From `time` on the task's flow has this rate, until it changes again or the task ends.
struct RateChange {
  TimePoint time;
  TaskId task = 0;
  BytesPerSecond rate;
};

/// What simulate() returns. Deterministic: the same graph gives the same timeline, bit for bit.
struct Timeline {
  Picoseconds makespan;
  std::vector<TimePoint> start, end;  ///< [task]
  /// [task] the dependency or lane predecessor whose end let this task start; kNone at time 0.
  std::vector<TaskId> released_by;
  std::vector<MemoryPeak> memory_peaks;  ///< [device]
  std::vector<Bytes> link_bytes;         ///< [link] carried in all
  std::vector<RateChange> rate_changes;  ///< in order of time; only when SimulateOptions::rates
};

/// Seconds of a lane by part (index as in graph.parts()); labels + waits + idle = makespan.
struct LaneTime {
  std::vector<double> seconds_by_part;  ///< busy time, by the parts of each task's label
  std::vector<double> wait_by_part;     ///< gaps that waited for another lane, by that lane's wait_label
  double idle = 0;                      ///< gaps that waited for nothing we label, and the time after the last task
};
/// A gap before task t is booked piece by piece, going back along released_by: the time in which the task that released
/// t ran counts for that task's lane, the time before for the lane of the one that released it, and so on until the gap
/// is covered. A lane without a wait_label passes its share on to the first one behind it that has one; where there is
/// none, it is idle.
LaneTime lane_time(const TaskGraph& graph, const Timeline& timeline, LaneId lane);
/// lane_time() of every lane, in one pass. [lane]
std::vector<LaneTime> lane_times(const TaskGraph& graph, const Timeline& timeline);

/// The tasks that determine the makespan, first to last: a longest path of the graph with the durations that
/// were realised. Computed with Boost.Graph (topological order, DAG longest path).
std::vector<TaskId> critical_path(const TaskGraph& graph, const Timeline& timeline);

}  // namespace foretrain::sim
