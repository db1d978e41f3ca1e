#include "sim/timeline.h"

#include "base/check.h"

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

/// The label that the wait before `task` counts for, or kNone: the first lane with a wait label, going back from the
/// task that released it.
LabelId wait_label(const TaskGraph& graph, const Timeline& timeline, TaskId task) {
  for (TaskId by = timeline.released_by[at(task)]; by != kNone; by = timeline.released_by[at(by)]) {
    const LabelId label = graph.lanes()[at(graph.lane_of(by))].wait_label;
    if (label != kNone) return label;
  }
  return kNone;
}

void add_time(const TaskGraph& graph, LabelId label, Picoseconds time, std::vector<double>& seconds_by_part) {
  for (const LabelPart& part : graph.labels()[at(label)].parts)
    seconds_by_part[at(part.part)] += part.fraction * to_seconds(time).base();
}

}  // namespace

LaneTime lane_time(const TaskGraph& graph, const Timeline& timeline, LaneId lane) {
  FORETRAIN_CHECK(timeline.released_by.size() == timeline.start.size());
  LaneTime time;
  time.seconds_by_part.assign(graph.parts().size(), 0);
  time.wait_by_part.assign(graph.parts().size(), 0);
  Picoseconds idle;
  TimePoint free;  // when the lane's previous task ended
  for (TaskId task = 0; task < graph.task_count(); ++task) {
    if (graph.lane_of(task) != lane) continue;
    const Picoseconds gap = timeline.start[at(task)] - free;
    if (gap.count > 0) {
      const LabelId label = wait_label(graph, timeline, task);
      if (label == kNone) {
        idle += gap;
      } else {
        add_time(graph, label, gap, time.wait_by_part);
      }
    }
    add_time(graph, graph.label_of(task), timeline.end[at(task)] - timeline.start[at(task)], time.seconds_by_part);
    free = timeline.end[at(task)];
  }
  idle += timeline.makespan - (free - TimePoint{});
  time.idle = to_seconds(idle).base();
  return time;
}

}  // namespace foretrain::sim
