#include "sim/simulator.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/sim/pipeline_graph.h"

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

}  // namespace

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
