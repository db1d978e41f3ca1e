// Whole random graphs against a second, slow simulation and a replay of what the timeline says.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "sim/simulator.h"
#include "tests/sim/slow_sharing.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

/// A random graph over `lanes` lanes of three devices: durations with many ties, dependencies on earlier tasks, effects
/// on two memory labels, and flows on four links for a third of the tasks when `with_flows`.
TaskGraph random_graph(std::uint64_t seed, std::int32_t lanes, std::int32_t tasks, bool with_flows) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t below) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(below));
  };
  TaskGraph graph;
  const LabelId label = graph.add_label({"work", {{graph.part("work"), 1}}});
  const MemoryLabelId labels[2] = {graph.memory_label("a"), graph.memory_label("b")};
  for (int d = 0; d < 3; ++d) {
    graph.add_device({"device " + std::to_string(d)});
    graph.add_static_memory(d, labels[d % 2], draw(50));
  }
  for (std::int32_t l = 0; l < lanes; ++l) graph.add_lane({"lane", l % 3, LaneKind::compute});
  std::vector<RouteId> routes;
  for (LinkId l = 0; l < 4; ++l) graph.add_link({"link", static_cast<double>(1 + draw(5)) * GB_per_s});
  for (int r = 0; r < 6; ++r) {
    std::vector<LinkUse> uses{{static_cast<LinkId>(draw(4)), 1}};
    if (draw(2) == 0) uses.push_back({static_cast<LinkId>(draw(4)), static_cast<double>(1 + draw(3))});
    routes.push_back(graph.add_route(uses));
  }
  for (TaskId t = 0; t < tasks; ++t) {
    TaskSpec spec{.lane = static_cast<LaneId>(draw(lanes)),
                  .label = label,
                  .duration = {draw(6) * 1'000'000'000},  // 0 to 5 ms
                  .flow = {},
                  .rate_limit = {}};
    if (with_flows && draw(3) == 0) {
      spec.flow = static_cast<double>(1 + draw(20)) * MB;
      spec.route = routes[static_cast<std::size_t>(draw(6))];
      if (draw(4) == 0) spec.rate_limit = 1 * GB_per_s;
    }
    graph.add_task(spec);
    for (std::int64_t n = t > 0 ? draw(3) : 0; n > 0; --n) graph.add_dependency(static_cast<TaskId>(draw(t)), t);
    for (std::int64_t n = draw(3); n > 0; --n)
      graph.add_memory_effect({t, labels[draw(2)], draw(2) == 0, draw(41) - 20});
  }
  return graph;
}

/// Start and end in seconds, straight from the rules: time goes on to the next end of a duration or of a flow, all
/// rates filled afresh from nothing each time.
std::vector<std::pair<double, double>> run_slowly(const TaskGraph& graph) {
  const auto tasks = static_cast<std::size_t>(graph.task_count());
  std::vector<std::vector<TaskId>> needs(tasks);
  for (const auto& [before, after] : graph.dependencies()) needs[static_cast<std::size_t>(after)].push_back(before);
  std::map<LaneId, TaskId> last;
  for (TaskId t = 0; t < graph.task_count(); ++t) {
    if (last.count(graph.lane_of(t)) == 1) needs[static_cast<std::size_t>(t)].push_back(last[graph.lane_of(t)]);
    last[graph.lane_of(t)] = t;
  }
  std::vector<double> capacities;
  for (const Link& link : graph.links()) capacities.push_back(link.capacity.base());
  enum class State { waiting, timed, flowing, ended };
  std::vector<State> state(tasks, State::waiting);
  std::vector<std::pair<double, double>> when(tasks);
  std::vector<double> duration_end(tasks), left(tasks);
  double now = 0;
  for (;;) {
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t t = 0; t < tasks; ++t) {
        const TaskSpec spec = graph.task(static_cast<TaskId>(t));
        const State before = state[t];
        if (state[t] == State::waiting && std::all_of(needs[t].begin(), needs[t].end(), [&](TaskId n) {
              return state[static_cast<std::size_t>(n)] == State::ended;
            })) {
          state[t] = State::timed;
          when[t].first = now;
          duration_end[t] = now + to_seconds(spec.duration).base();
          left[t] = spec.flow.base();
        }
        if (state[t] == State::timed && duration_end[t] <= now + 1e-13) state[t] = State::flowing;
        if (state[t] == State::flowing && left[t] <= 1e-3) {
          state[t] = State::ended;
          when[t].second = now;
        }
        changed = changed || state[t] != before;
      }
    }
    std::vector<SlowFlow> flows;
    std::vector<std::size_t> flowing;
    double next = INFINITY;
    for (std::size_t t = 0; t < tasks; ++t) {
      if (state[t] == State::timed) next = std::min(next, duration_end[t]);
      if (state[t] != State::flowing) continue;
      const TaskSpec spec = graph.task(static_cast<TaskId>(t));
      const std::span<const LinkUse> uses = graph.route(spec.route);
      flows.push_back({{uses.begin(), uses.end()}, spec.rate_limit.base()});
      flowing.push_back(t);
    }
    std::vector<const SlowFlow*> pointers;
    for (const SlowFlow& flow : flows) pointers.push_back(&flow);
    const std::vector<double> rates = fill_slowly(capacities, pointers);
    for (std::size_t f = 0; f < flows.size(); ++f) next = std::min(next, now + left[flowing[f]] / rates[f]);
    if (next == INFINITY) return when;
    for (std::size_t f = 0; f < flows.size(); ++f) left[flowing[f]] -= rates[f] * (next - now);
    now = next;
  }
}

}  // namespace

TEST_CASE("random graphs with flows run as a slow simulation straight from the rules") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TaskGraph graph = random_graph(seed, 7, 60, true);
    const Timeline timeline = simulate(graph);
    const std::vector<std::pair<double, double>> expected = run_slowly(graph);
    for (std::size_t t = 0; t < expected.size(); ++t) {
      // Picoseconds of rounding add up along the graph; a flow's end counts as such within 1e-3 bytes, 1 ps.
      CHECK(std::abs(to_seconds(timeline.start[t] - TimePoint{}).base() - expected[t].first) < 1e-9);
      CHECK(std::abs(to_seconds(timeline.end[t] - TimePoint{}).base() - expected[t].second) < 1e-9);
    }
  }
}

TEST_CASE("random graphs: starts are the latest ends waited for, and memory peaks equal replaying all effects") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TaskGraph graph = random_graph(seed, 9, 400, seed % 2 == 0);
    const Timeline timeline = simulate(graph);
    const auto tasks = static_cast<std::size_t>(graph.task_count());
    std::vector<TimePoint> ready(tasks);
    std::map<LaneId, TimePoint> lane_free;
    for (const auto& [before, after] : graph.dependencies())
      ready[static_cast<std::size_t>(after)] =
          std::max(ready[static_cast<std::size_t>(after)], timeline.end[static_cast<std::size_t>(before)]);
    TimePoint latest;
    for (std::size_t t = 0; t < tasks; ++t) {
      const LaneId lane = graph.lane_of(static_cast<TaskId>(t));
      CHECK(timeline.start[t] == std::max(ready[t], lane_free[lane]));
      lane_free[lane] = timeline.end[t];
      const TaskId by = timeline.released_by[t];
      if (by == kNone) CHECK(timeline.start[t] == TimePoint{});
      if (by != kNone) CHECK(timeline.end[static_cast<std::size_t>(by)] == timeline.start[t]);
      latest = std::max(latest, timeline.end[t]);
    }
    CHECK(timeline.makespan == latest - TimePoint{});

    const std::vector<std::vector<std::int64_t>> held = graph.static_memory();
    for (DeviceId d = 0; d < 3; ++d) {
      std::map<TimePoint, std::vector<std::int64_t>> changes;  // net of each instant, by label
      for (const MemoryEffect& effect : graph.memory_effects()) {
        if (graph.device_of(effect.task) != d) continue;
        const auto t = static_cast<std::size_t>(effect.task);
        std::vector<std::int64_t>& change = changes[effect.at_end ? timeline.end[t] : timeline.start[t]];
        change.resize(2);
        change[static_cast<std::size_t>(effect.label)] += effect.bytes;
      }
      std::vector<std::int64_t> level = held[static_cast<std::size_t>(d)];
      MemoryPeak expected{level[0] + level[1], {}, level};
      for (const auto& [time, change] : changes) {
        level[0] += change[0];
        level[1] += change[1];
        if (level[0] + level[1] > expected.bytes) expected = {level[0] + level[1], time, level};
      }
      const MemoryPeak& peak = timeline.memory_peaks[static_cast<std::size_t>(d)];
      CHECK(peak.bytes == expected.bytes);
      CHECK(peak.at == expected.at);
      CHECK(peak.by_label == expected.by_label);
    }
  }
}
