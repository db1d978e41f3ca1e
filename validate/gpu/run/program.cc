#include "validate/gpu/run/program.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <string>
#include <utility>

#include "base/spec_error.h"

namespace foretrain::gpu {
namespace {

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// The file's tasks of one stage, with the tasks that each waits for.
struct StageTasks {
  std::vector<std::int32_t> tasks;                      // in the file's order
  std::vector<std::vector<std::int32_t>> dependencies;  // [task of the file]
};

StageTasks tasks_of(const StepFile& file, std::int32_t stage) {
  StageTasks mine;
  std::vector<char> is_mine(file.tasks.size(), 0);
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    is_mine[t] = takes_part(file, file.tasks[t], stage) ? 1 : 0;
    if (is_mine[t] != 0) mine.tasks.push_back(static_cast<std::int32_t>(t));
  }
  mine.dependencies.resize(file.tasks.size());
  for (const std::int32_t t : mine.tasks) {
    const StepTask& task = file.tasks[at(t)];
    for (std::int32_t d = task.first_dependency; d < task.last; ++d) {
      const std::int32_t before = file.dependencies[at(d)];
      if (is_mine[at(before)] != 0) {
        mine.dependencies[at(t)].push_back(before);
        continue;
      }
      const StepTask& other = file.tasks[at(before)];  // a receive elsewhere: wait for what was sent
      for (std::int32_t e = other.first_dependency; e < other.last; ++e) {
        const std::int32_t sent = file.dependencies[at(e)];
        if (is_mine[at(sent)] != 0 && sent != t) mine.dependencies[at(t)].push_back(sent);
      }
    }
  }
  return mine;
}

/// Tasks so that each stands behind what it waits for and behind its lane's earlier ones.
std::vector<std::int32_t> issue_order(const StepFile& file, const StageTasks& mine) {
  std::vector<std::vector<std::int32_t>> followers(file.tasks.size());
  std::vector<std::int32_t> open(file.tasks.size(), 0);
  std::vector<std::int32_t> last_on(file.lanes.size(), -1);
  for (const std::int32_t t : mine.tasks) {
    std::int32_t& previous = last_on[at(file.tasks[at(t)].lane)];
    if (previous >= 0) {
      followers[at(previous)].push_back(t);
      ++open[at(t)];
    }
    previous = t;
    for (const std::int32_t d : mine.dependencies[at(t)]) {
      followers[at(d)].push_back(t);
      ++open[at(t)];
    }
  }
  std::priority_queue<std::int32_t, std::vector<std::int32_t>, std::greater<>> ready;
  for (const std::int32_t t : mine.tasks) {
    if (open[at(t)] == 0) ready.push(t);
  }
  std::vector<std::int32_t> order;
  while (!ready.empty()) {
    const std::int32_t t = ready.top();
    ready.pop();
    order.push_back(t);
    for (const std::int32_t f : followers[at(t)]) {
      if (--open[at(f)] == 0) ready.push(f);
    }
  }
  if (order.size() != mine.tasks.size()) {
    const auto stuck =
        std::find_if(mine.tasks.begin(), mine.tasks.end(), [&](std::int32_t t) { return open[at(t)] > 0; });
    throw SpecError("graph", "expected tasks that can run one after another; task " + std::to_string(*stuck) +
                                 " waits for itself, through its dependencies or its lane");
  }
  return order;
}

/// How far each stream has come, as far as a stream (or the host) knows: places in the streams, -1 for nothing.
using Clock = std::vector<std::int32_t>;
void advance(Clock& clock, const Clock& other) {
  for (std::size_t s = 0; s < clock.size(); ++s) clock[s] = std::max(clock[s], other[s]);
}

/// Finds the waits of one issue after the other.
class Waits {
 public:
  Waits(std::size_t streams, std::size_t tasks, Launching launching)
      : launching_(launching),
        host_(streams, -1),
        known_(streams, Clock(streams, -1)),
        issue_at_(streams),
        clock_of_(tasks) {}

  /// `before`: the tasks that `task` waits for, those issued last first. Gives the issues to wait for.
  std::vector<std::int32_t> of(std::int32_t task, std::int32_t stream, std::int32_t issue,
                               const std::vector<std::int32_t>& before) {
    Clock& known = stream < 0 ? host_ : known_[at(stream)];
    if (stream >= 0 && launching_ == Launching::from_host) advance(known, host_);  // it is issued after the host's wait
    std::vector<std::int32_t> waits;
    for (const std::int32_t d : before) {
      const Clock& reached = clock_of_[at(d)];
      for (std::size_t s = 0; s < reached.size(); ++s) {
        // Only the furthest of what d implies needs a wait of its own: d itself, or, through the host, several.
        if (reached[s] <= known[s] || !ends_at(d, s)) continue;
        if (stream >= 0 || launching_ == Launching::from_host) waits.push_back(issue_at_[s][at(reached[s])]);
      }
      advance(known, reached);
    }
    if (stream >= 0) {
      known[at(stream)] = static_cast<std::int32_t>(issue_at_[at(stream)].size());
      issue_at_[at(stream)].push_back(issue);
    }
    clock_of_[at(task)] = known;
    own_stream_.resize(std::max(own_stream_.size(), at(task) + 1), -1);
    own_stream_[at(task)] = stream;
    return waits;
  }

 private:
  /// A task of a stream ends what its clock says of that stream; the host's waits end what they waited for.
  [[nodiscard]] bool ends_at(std::int32_t task, std::size_t s) const {
    return own_stream_[at(task)] < 0 || own_stream_[at(task)] == static_cast<std::int32_t>(s);
  }

  Launching launching_;
  Clock host_;
  std::vector<Clock> known_;                         // [stream]
  std::vector<std::vector<std::int32_t>> issue_at_;  // [stream][place]
  std::vector<Clock> clock_of_;                      // [task]
  std::vector<std::int32_t> own_stream_;             // [task]
};

}  // namespace

bool takes_part(const StepFile& file, const StepTask& task, std::int32_t stage) {
  const std::int32_t lane_stage = file.lanes[at(task.lane)].stage;
  if (lane_stage >= 0) return lane_stage == stage;
  const auto* message = task.work < 0 ? nullptr : std::get_if<Message>(&file.works[at(task.work)]);
  const bool ends_only = message != nullptr && message->group == Group::embedding;
  return !ends_only || stage == 0 || stage + 1 == file.world.pipeline;
}

Program make_program(const StepFile& file, std::int32_t stage, Launching launching) {
  const bool known =
      std::any_of(file.stages.begin(), file.stages.end(), [&](const StepStage& s) { return s.index == stage; });
  if (!known) throw SpecError("graph", "expected a stage of the file; got " + std::to_string(stage));
  const StageTasks mine = tasks_of(file, stage);
  const std::vector<std::int32_t> order = issue_order(file, mine);

  Program program;
  program.stage = stage;
  std::vector<std::int32_t> stream_of(file.lanes.size(), -1);
  for (const std::int32_t t : mine.tasks) {
    const std::int32_t lane = file.tasks[at(t)].lane;
    if (file.lanes[at(lane)].kind == StepLaneKind::host || stream_of[at(lane)] >= 0) continue;
    stream_of[at(lane)] = static_cast<std::int32_t>(program.stream_lane.size());
    program.stream_lane.push_back(lane);
  }
  std::vector<std::int32_t> place(file.tasks.size(), -1);
  Waits waits(program.stream_lane.size(), file.tasks.size(), launching);
  for (const std::int32_t t : order) {
    const auto issue = static_cast<std::int32_t>(program.order.size());
    place[at(t)] = issue;
    std::vector<std::int32_t> before = mine.dependencies[at(t)];
    std::sort(before.begin(), before.end(),
              [&](std::int32_t a, std::int32_t b) { return place[at(a)] > place[at(b)]; });
    const std::int32_t stream = stream_of[at(file.tasks[at(t)].lane)];
    program.order.push_back({t, stream, waits.of(t, stream, issue, before), false});
    for (const std::int32_t w : program.order.back().waits) program.order[at(w)].marks_end = true;
  }
  return program;
}

std::int64_t predicted_ps(const StepFile& file, const Program& program, Launching launching) {
  const StageTasks mine = tasks_of(file, program.stage);
  std::vector<std::int64_t> end(file.tasks.size(), 0), lane_end(file.lanes.size(), 0);
  std::int64_t last = 0;
  for (const Issue& issue : program.order) {
    const StepTask& task = file.tasks[at(issue.task)];
    std::int64_t start = lane_end[at(task.lane)];
    for (const std::int32_t d : mine.dependencies[at(issue.task)]) start = std::max(start, end[at(d)]);
    const bool takes_time = issue.stream >= 0 || launching == Launching::from_host;
    end[at(issue.task)] = lane_end[at(task.lane)] = start + (takes_time ? task.predicted_ps : 0);
    last = std::max(last, end[at(issue.task)]);
  }
  return last;
}

}  // namespace foretrain::gpu
