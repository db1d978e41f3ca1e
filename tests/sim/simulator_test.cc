#include "sim/simulator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/sim/pipeline_graph.h"
#include "tests/sim/slow_sharing.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

/// Two devices with a compute and a communication lane each, one label and one part for all.
struct TwoDevices {
  TaskGraph graph;
  LabelId work = 0;
  LaneId compute[2], communication[2];

  TwoDevices() {
    work = graph.add_label({"work", {{graph.part("work"), 1}}});
    for (int d = 0; d < 2; ++d) {
      const DeviceId device = graph.add_device({"device " + std::to_string(d)});
      compute[d] = graph.add_lane({"compute", device, LaneKind::compute});
      communication[d] = graph.add_lane({"communication", device, LaneKind::communication});
    }
  }
  TaskId task(LaneId lane, std::int64_t picoseconds) {
    return graph.add_task({.lane = lane, .label = work, .duration = {picoseconds}, .flow = {}, .rate_limit = {}});
  }
};

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

TEST_CASE("a lane runs its tasks one at a time, in the order of adding") {
  TwoDevices g;
  const TaskId a = g.task(g.compute[0], 10), b = g.task(g.compute[0], 5), c = g.task(g.compute[1], 7);
  const Timeline t = simulate(g.graph);
  CHECK(t.start[static_cast<std::size_t>(a)] == TimePoint{0});
  CHECK(t.start[static_cast<std::size_t>(b)] == TimePoint{10});
  CHECK(t.start[static_cast<std::size_t>(c)] == TimePoint{0});
  CHECK(t.makespan == Picoseconds{15});
  CHECK(t.released_by == std::vector<TaskId>{kNone, a, kNone});
}

TEST_CASE("a task waits for its dependencies and for its lane") {
  // a 10 on lane 0; b 4 on lane 1 after a; c 3 on lane 1, behind b although it depends on nothing; d 20 on lane 0.
  TwoDevices g;
  const TaskId a = g.task(g.compute[0], 10), b = g.task(g.compute[1], 4), c = g.task(g.compute[1], 3),
               d = g.task(g.compute[0], 20), e = g.task(g.communication[0], 1);
  g.graph.add_dependency(a, b);
  g.graph.add_dependency(c, e);
  g.graph.add_dependency(d, e);
  const Timeline t = simulate(g.graph);
  CHECK(t.start == std::vector<TimePoint>{{0}, {10}, {14}, {10}, {30}});
  CHECK(t.end == std::vector<TimePoint>{{10}, {14}, {17}, {30}, {31}});
  CHECK(t.released_by == std::vector<TaskId>{kNone, a, b, a, d});
  CHECK(t.makespan == Picoseconds{31});
}

TEST_CASE("an empty graph takes no time") {
  const Timeline t = simulate(TaskGraph{});
  CHECK(t.makespan == Picoseconds{0});
}

TEST_CASE("tasks without duration pass on at once") {
  TwoDevices g;
  const TaskId a = g.task(g.compute[0], 0), b = g.task(g.compute[1], 0), c = g.task(g.compute[0], 8);
  g.graph.add_dependency(a, b);
  g.graph.add_dependency(b, c);
  CHECK(simulate(g.graph).makespan == Picoseconds{8});
}

TEST_CASE("a dependency may be added before the task that it waits for") {
  TwoDevices g;
  const TaskId first = g.task(g.compute[0], 5), second = g.task(g.compute[1], 6);
  g.graph.add_dependency(second, first);
  CHECK(simulate(g.graph).start[static_cast<std::size_t>(first)] == TimePoint{6});
}

TEST_CASE("a cycle is refused by name, through dependencies or through the order of a lane") {
  TwoDevices direct;
  const TaskId a = direct.task(direct.compute[0], 1), b = direct.task(direct.compute[1], 1);
  direct.task(direct.compute[1], 1);  // waits for the cycle, is not on it
  direct.graph.add_dependency(a, b);
  direct.graph.add_dependency(b, a);
  std::string message;
  try {
    simulate(direct.graph);
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  CHECK(message.find("cycle") != std::string::npos);
  CHECK(message.find("task 0 (\"work\" on lane \"compute\" of device 0)") != std::string::npos);
  CHECK(message.find("task 1") != std::string::npos);
  CHECK(message.find("task 2") == std::string::npos);

  TwoDevices by_lane;
  const TaskId first = by_lane.task(by_lane.compute[0], 1), second = by_lane.task(by_lane.compute[0], 1);
  by_lane.graph.add_dependency(second, first);
  CHECK_THROWS_AS(simulate(by_lane.graph), std::invalid_argument);

  TwoDevices itself;
  const TaskId lone = itself.task(itself.compute[0], 1);
  itself.graph.add_dependency(lone, lone);
  CHECK_THROWS_AS(simulate(itself.graph), std::invalid_argument);
}

TEST_CASE("a run of more than 30 days is refused instead of wrapping the clock") {
  TwoDevices g;
  const std::int64_t twenty_days = 20LL * 86400 * 1'000'000'000'000;
  for (int i = 0; i < 12; ++i) g.task(g.compute[0], twenty_days);
  CHECK_THROWS_AS(simulate(g.graph), std::overflow_error);
}

TEST_CASE("memory: static bytes, gains at the start, releases at the end, each with its label") {
  // Device 0 holds 100 of weights. a [0, 10) holds 30 of activations; b [10, 15) 50 of buffers.
  // At instant 10 a's 30 are freed before b's 50 count: peak 150 at 10, not 180.
  TwoDevices g;
  const MemoryLabelId weights = g.graph.memory_label("weights"), activations = g.graph.memory_label("activations"),
                      buffers = g.graph.memory_label("buffers");
  g.graph.add_static_memory(0, weights, 60);
  g.graph.add_static_memory(0, weights, 40);
  g.graph.add_static_memory(1, weights, 7);
  const TaskId a = g.task(g.compute[0], 10), b = g.task(g.compute[0], 5);
  g.graph.add_memory_effect({b, buffers, false, 50});  // not in the order of tasks
  g.graph.add_memory_effect({a, activations, true, -30});
  g.graph.add_memory_effect({a, activations, false, 30});
  g.graph.add_memory_effect({b, buffers, true, -50});
  const Timeline t = simulate(g.graph);
  CHECK(t.memory_peaks[0].bytes == 150);
  CHECK(t.memory_peaks[0].at == TimePoint{10});
  CHECK(t.memory_peaks[0].by_label == std::vector<std::int64_t>{100, 0, 50});
  CHECK(t.memory_peaks[1].bytes == 7);
  CHECK(t.memory_peaks[1].at == TimePoint{0});
  CHECK(t.memory_peaks[1].by_label == std::vector<std::int64_t>{7, 0, 0});
}

TEST_CASE("memory: the first of equal peaks counts, and what is freed at once was never held") {
  TwoDevices g;
  const MemoryLabelId x = g.graph.memory_label("x");
  const TaskId a = g.task(g.compute[0], 10), b = g.task(g.compute[0], 10), c = g.task(g.compute[0], 0);
  for (const TaskId task : {a, b, c}) {
    const std::int64_t held = task == c ? 999 : 5;
    g.graph.add_memory_effect({task, x, false, held});
    g.graph.add_memory_effect({task, x, true, -held});
  }
  const Timeline t = simulate(g.graph);
  CHECK(t.memory_peaks[0].bytes == 5);
  CHECK(t.memory_peaks[0].at == TimePoint{0});
  CHECK(t.memory_peaks[0].by_label == std::vector<std::int64_t>{5});
}

TEST_CASE("memory: bytes freed below the static level do not lower the peak") {
  TwoDevices g;
  const MemoryLabelId x = g.graph.memory_label("x");
  g.graph.add_static_memory(0, x, 100);
  const TaskId a = g.task(g.compute[0], 10);
  g.graph.add_memory_effect({a, x, false, -40});
  const Timeline t = simulate(g.graph);
  CHECK(t.memory_peaks[0].bytes == 100);
  CHECK(t.memory_peaks[0].by_label == std::vector<std::int64_t>{100});
}

TEST_CASE("doubling every duration doubles the step, and runs agree to the bit") {
  for (const Schedule& s : schedules()) {
    const PipelineShape shape{4, s.name == "interleaved" ? 2 : 1, 8};
    const Timeline once = simulate(pipeline_graph(s, shape, {{1111}, {1987}}));
    const Timeline again = simulate(pipeline_graph(s, shape, {{1111}, {1987}}));
    const Timeline twice = simulate(pipeline_graph(s, shape, {{2222}, {3974}}));
    CHECK(twice.makespan == 2 * once.makespan);
    CHECK(again.start == once.start);
    CHECK(again.end == once.end);
    CHECK(again.released_by == once.released_by);
    CHECK(again.memory_peaks[0].at == once.memory_peaks[0].at);
  }
}

TEST_CASE("what is not asked for is not recorded, and times stay the same") {
  const TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1000}, {2000}});
  const Timeline full = simulate(graph), bare = simulate(graph, {.memory = false, .releases = false});
  CHECK(bare.memory_peaks.empty());
  CHECK(bare.released_by.empty());
  CHECK(bare.start == full.start);
  CHECK(bare.end == full.end);
}

TEST_CASE("a flow moves after the task's duration and shares its link with others") {
  // Link of 100 GB/s. a: 1 s, then 100 GB. b: 2 s, then 100 GB. a alone in [1, 2): 100 GB, done at 2 as b begins, which
  // then has the link for itself until 3.
  TwoDevices g;
  const LinkId link = g.graph.add_link({"link", 100 * GB_per_s});
  const RouteId route = g.graph.add_route({{link, 1}});
  const auto send = [&](LaneId lane, Seconds before, Bytes size, BytesPerSecond limit = {}) {
    return static_cast<std::size_t>(g.graph.add_task({.lane = lane,
                                                      .label = g.work,
                                                      .duration = to_picoseconds(before),
                                                      .flow = size,
                                                      .rate_limit = limit,
                                                      .route = route}));
  };
  const std::size_t a = send(g.communication[0], 1.0 * seconds, 100 * GB);
  const std::size_t b = send(g.communication[1], 2.0 * seconds, 100 * GB);
  // c begins at 3 behind b, at most 25 GB/s; d begins at 3 behind a's compute lane: 75 GB/s for 1 s, then
  // c has 25 GB left at its 25 GB/s: ends at 5.
  const std::size_t c = send(g.communication[1], 0.0 * seconds, 50 * GB, 25 * GB_per_s);
  const std::size_t d = send(g.compute[0], 3.0 * seconds, 75 * GB);
  const Timeline t = simulate(g.graph);
  const std::int64_t second = 1'000'000'000'000;
  CHECK(t.end[a].ps == 2 * second);
  CHECK(t.end[b].ps == 3 * second);
  CHECK(t.start[c].ps == 3 * second);
  CHECK(t.end[c].ps == 5 * second);
  CHECK(t.end[d].ps == 4 * second);
  CHECK(t.link_bytes[0] / GB == doctest::Approx(325));
}

TEST_CASE("two equal flows on one link take twice as long, and end at one instant") {
  TwoDevices g;
  const RouteId route = g.graph.add_route({{g.graph.add_link({"link", 50 * GB_per_s}), 1}});
  for (int d = 0; d < 2; ++d)
    g.graph.add_task({.lane = g.communication[d],
                      .label = g.work,
                      .duration = {},
                      .flow = 1 * GB,
                      .rate_limit = {},
                      .route = route});
  const Timeline t = simulate(g.graph);
  // 1 GB at 25 GB/s: 40 ms.
  CHECK(t.end[0] == TimePoint{40'000'000'000});
  CHECK(t.end[1] == t.end[0]);
}
