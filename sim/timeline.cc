#include "sim/timeline.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

/// For each task the label that a wait for it counts for, or kNone: the wait label of its lane, or of the first lane
/// that has one going back along released_by.
std::vector<LabelId> wait_labels(const TaskGraph& graph, const Timeline& timeline) {
  FORETRAIN_CHECK(timeline.released_by.size() == timeline.start.size());  // simulate() with SimulateOptions::releases
  constexpr LabelId kUnknown = -2;
  std::vector<LabelId> labels(timeline.start.size(), kUnknown);
  std::vector<TaskId> unknown;  // tasks on the way back whose label the walk will find
  for (TaskId task = 0; task < graph.task_count(); ++task) {
    LabelId label = kUnknown;
    unknown.clear();
    for (TaskId by = task; label == kUnknown; by = timeline.released_by[at(by)]) {
      if (by == kNone) {
        label = kNone;
      } else if (labels[at(by)] != kUnknown) {
        label = labels[at(by)];
      } else {
        unknown.push_back(by);
        const LabelId own = graph.lanes()[at(graph.lane_of(by))].wait_label;
        if (own != kNone) label = own;
      }
      if (by == kNone) break;
    }
    for (const TaskId on_the_way : unknown) labels[at(on_the_way)] = label;
  }
  return labels;
}

void add_time(const TaskGraph& graph, LabelId label, Picoseconds time, std::vector<double>& seconds_by_part) {
  for (const LabelPart& part : graph.labels()[at(label)].parts)
    seconds_by_part[at(part.part)] += part.fraction * to_seconds(time).base();
}

/// Adds up a lane's tasks, in order.
class LaneClock {
 public:
  explicit LaneClock(const TaskGraph& graph) {
    time_.seconds_by_part.assign(graph.parts().size(), 0);
    time_.wait_by_part.assign(graph.parts().size(), 0);
  }

  void add(const TaskGraph& graph, const Timeline& timeline, const std::vector<LabelId>& wait_labels, TaskId task) {
    const Picoseconds gap = timeline.start[at(task)] - free_;
    if (gap.count > 0) add_gap(graph, timeline, wait_labels, task);
    add_time(graph, graph.label_of(task), timeline.end[at(task)] - timeline.start[at(task)], time_.seconds_by_part);
    free_ = timeline.end[at(task)];
  }

  LaneTime finish(const Timeline& timeline) {
    time_.idle = to_seconds(idle_ + (timeline.makespan - (free_ - TimePoint{}))).base();
    return std::move(time_);
  }

 private:
  /// Goes back from `task` over the tasks that released one another and books the part of the gap that each ran in.
  void add_gap(const TaskGraph& graph, const Timeline& timeline, const std::vector<LabelId>& wait_labels, TaskId task) {
    TimePoint until = timeline.start[at(task)];
    for (TaskId by = timeline.released_by[at(task)]; by != kNone && until > free_; by = timeline.released_by[at(by)]) {
      const TimePoint from = std::max(timeline.start[at(by)], free_);
      const LabelId label = wait_labels[at(by)];
      if (label == kNone) {
        idle_ += until - from;
      } else {
        add_time(graph, label, until - from, time_.wait_by_part);
      }
      until = from;
    }
    idle_ += until - free_;
  }

  LaneTime time_;
  Picoseconds idle_;
  TimePoint free_;  // when the task before ended
};

}  // namespace

LaneTime lane_time(const TaskGraph& graph, const Timeline& timeline, LaneId lane) {
  const std::vector<LabelId> waits = wait_labels(graph, timeline);
  LaneClock clock(graph);
  for (TaskId task = 0; task < graph.task_count(); ++task)
    if (graph.lane_of(task) == lane) clock.add(graph, timeline, waits, task);
  return clock.finish(timeline);
}

std::vector<LaneTime> lane_times(const TaskGraph& graph, const Timeline& timeline) {
  const std::vector<LabelId> waits = wait_labels(graph, timeline);
  std::vector<LaneClock> clocks(graph.lanes().size(), LaneClock(graph));
  for (TaskId task = 0; task < graph.task_count(); ++task)
    clocks[at(graph.lane_of(task))].add(graph, timeline, waits, task);
  std::vector<LaneTime> times;
  for (LaneClock& clock : clocks) times.push_back(clock.finish(timeline));
  return times;
}

}  // namespace foretrain::sim
