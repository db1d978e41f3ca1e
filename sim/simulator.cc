#include "sim/simulator.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "base/check.h"
#include "sim/event_queue.h"
#include "sim/fluid_network.h"
#include "sim/memory_meter.h"
#include "sim/rows.h"

namespace foretrain::sim {
namespace {

constexpr TimePoint kLatest{static_cast<std::int64_t>(kLongestSimulatedTime.base() * 1e12)};

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

/// One run of a graph. An event is the end of a task's duration; flows are ended by the network.
class Run {
 public:
  Run(const TaskGraph& graph, const SimulateOptions& options);
  Timeline finish() &&;

 private:
  void start(TaskId task);
  void end(TaskId task);
  void release(TaskId task, TaskId by);
  void loop();
  void loop_with_flows();
  void open_instant(TimePoint now);
  void duration_passed(TaskId task);
  [[nodiscard]] std::vector<Bytes> link_bytes() const;
  [[noreturn]] void fail_on_cycle() const;

  const TaskGraph& graph_;
  const SimulateOptions options_;
  Rows successors_;                      ///< [task] tasks that depend on it, in the order of add_dependency
  std::vector<TaskId> next_on_lane_;     ///< [task]
  std::vector<std::int32_t> waits_for_;  ///< [task] dependencies and lane predecessor that have not ended
  EventQueue queue_;
  std::optional<FluidNetwork> network_;  ///< only when there are flows
  std::optional<MemoryMeter> memory_;
  TimePoint now_;
  std::int32_t ended_ = 0;
  Timeline timeline_;
};

Run::Run(const TaskGraph& graph, const SimulateOptions& options) : graph_(graph), options_(options) {
  const std::int32_t tasks = graph.task_count();
  successors_ = rows_of(
      tasks, graph.dependencies(), [](const auto& d) { return d.first; },
      [](const auto& d, std::int32_t) { return d.second; });
  waits_for_.assign(at(tasks), 0);
  for (const auto& dependency : graph.dependencies()) {
    FORETRAIN_CHECK(dependency.second < tasks);
    ++waits_for_[at(dependency.second)];
  }
  next_on_lane_.assign(at(tasks), kNone);
  std::vector<TaskId> last_on_lane(graph.lanes().size(), kNone);
  for (TaskId task = 0; task < tasks; ++task) {
    TaskId& last = last_on_lane[at(graph.lane_of(task))];
    if (last != kNone) {
      next_on_lane_[at(last)] = task;
      ++waits_for_[at(task)];
    }
    last = task;
  }
  if (!graph.flows().empty()) {
    std::vector<BytesPerSecond> capacities;
    for (const Link& link : graph.links()) capacities.push_back(link.capacity);
    network_.emplace(capacities);
    if (options.rates) network_->record(timeline_.rate_changes);
  }
  if (options.memory) memory_.emplace(graph);
  timeline_.start.resize(at(tasks));
  timeline_.end.resize(at(tasks));
  if (options.releases) timeline_.released_by.assign(at(tasks), kNone);
}

void Run::start(TaskId task) {
  const TimePoint end = now_ + graph_.duration_of(task);
  if (end > kLatest) throw std::overflow_error("the simulated time passes 30 days");
  timeline_.start[at(task)] = now_;
  if (memory_) memory_->apply(task, false);
  queue_.push(end, task);
}

void Run::release(TaskId task, TaskId by) {
  if (--waits_for_[at(task)] > 0) return;
  if (options_.releases) timeline_.released_by[at(task)] = by;
  start(task);
}

void Run::end(TaskId task) {
  timeline_.end[at(task)] = now_;
  ++ended_;
  if (memory_) memory_->apply(task, true);
  if (next_on_lane_[at(task)] != kNone) release(next_on_lane_[at(task)], task);
  for (const TaskId successor : successors_.row(task)) release(successor, task);
}

void Run::open_instant(TimePoint now) {
  if (now == now_) return;
  if (memory_) memory_->close_instant(now_);
  now_ = now;
}

void Run::loop() {
  while (!queue_.empty()) {
    const Event event = queue_.pop();
    open_instant(event.time);
    end(event.payload);
  }
}

void Run::duration_passed(TaskId task) {
  if (graph_.flow_of(task) == kNone) return end(task);
  const TaskFlow& flow = graph_.flows()[at(graph_.flow_of(task))];
  network_->start(task, flow.size, flow.rate_limit, graph_.route(flow.route));
}

/// Takes all that happens at an instant before rates are shared anew, so that flows that begin together cost one go.
void Run::loop_with_flows() {
  for (;;) {
    const TimePoint queued = queue_.empty() ? kNever : queue_.next_time();
    if (network_->changed() && queued > now_) network_->share(now_);
    const TimePoint next = std::min(queued, network_->next_completion());
    if (next == kNever) return;
    open_instant(next);
    while (!queue_.empty() && queue_.next_time() == now_) duration_passed(queue_.pop().payload);
    while (network_->next_completion() == now_) end(network_->pop_completion());
  }
}

Timeline Run::finish() && {
  for (TaskId task = 0; task < graph_.task_count(); ++task)
    if (waits_for_[at(task)] == 0) start(task);
  if (network_) {
    loop_with_flows();
  } else {
    loop();
  }
  if (ended_ < graph_.task_count()) fail_on_cycle();
  timeline_.makespan = now_ - TimePoint{};
  if (memory_) {
    memory_->close_instant(now_);
    timeline_.memory_peaks = memory_->peaks(timeline_);
  }
  timeline_.link_bytes = link_bytes();
  return std::move(timeline_);
}

std::vector<Bytes> Run::link_bytes() const {
  std::vector<Bytes> carried(graph_.links().size());
  for (const TaskFlow& flow : graph_.flows())
    for (const LinkUse& use : graph_.route(flow.route)) carried[at(use.link)] += use.weight * flow.size;
  return carried;
}

/// Every task that has not ended waits for one that has not: going back from any of them ends in a circle.
void Run::fail_on_cycle() const {
  std::vector<TaskId> waits_on(at(graph_.task_count()), kNone);
  for (TaskId task = 0; task < graph_.task_count(); ++task) {
    if (waits_for_[at(task)] == 0) continue;
    if (next_on_lane_[at(task)] != kNone) waits_on[at(next_on_lane_[at(task)])] = task;
    for (const TaskId successor : successors_.row(task)) waits_on[at(successor)] = task;
  }
  TaskId task = 0;
  while (waits_for_[at(task)] == 0) ++task;
  for (std::int32_t steps = 0; steps < graph_.task_count(); ++steps) task = waits_on[at(task)];
  std::string text;
  const TaskId first = task;
  std::int32_t shown = 0;
  do {
    const Lane& lane = graph_.lanes()[at(graph_.lane_of(task))];
    text +=
        fmt::format("task {} (\"{}\" on lane \"{}\" of {}) waits for ", task,
                    graph_.labels()[at(graph_.label_of(task))].name, lane.name, graph_.devices()[at(lane.device)].name);
    task = waits_on[at(task)];
  } while (task != first && ++shown < 8);
  throw std::invalid_argument(fmt::format("the task graph has a cycle: {}{}", text,
                                          task == first ? fmt::format("task {}", first) : std::string("...")));
}

}  // namespace

Timeline simulate(const TaskGraph& graph, const SimulateOptions& options) { return Run(graph, options).finish(); }

}  // namespace foretrain::sim
