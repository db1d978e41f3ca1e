#include "sim/timeline.h"

#include <numeric>

#include <doctest/doctest.h>

#include "sim/simulator.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

double total(const LaneTime& time) {
  return std::accumulate(time.seconds_by_part.begin(), time.seconds_by_part.end(), 0.0) +
         std::accumulate(time.wait_by_part.begin(), time.wait_by_part.end(), 0.0) + time.idle;
}

TaskSpec on(LaneId lane, LabelId label, std::int64_t picoseconds) {
  return {.lane = lane, .label = label, .duration = {picoseconds}, .flow = {}, .rate_limit = {}};
}

}  // namespace

TEST_CASE("labels, waits and idle time of a lane add up to the makespan") {
  for (const Schedule& s : schedules()) {
    const TaskGraph graph =
        pipeline_graph(s, {4, s.name == "interleaved" ? 2 : 1, 8}, {{1'000'000'007}, {2'000'000'011}});
    const Timeline timeline = simulate(graph);
    for (LaneId lane = 0; lane < 4; ++lane)
      CHECK(total(lane_time(graph, timeline, lane)) ==
            doctest::Approx(to_seconds(timeline.makespan).base()).epsilon(1e-12));
  }
}

TEST_CASE("a composite task's time goes to its parts, a gap to the lane waited for") {
  // Compute: layer 8 s (3/4 gemm, 1/4 norm), then waits for a 5 s all-reduce behind it, then 2 s more. A send that
  // nobody waits for ends at 20 s.
  TaskGraph graph;
  const std::int32_t gemm = graph.part("gemm"), norm = graph.part("norm"), exposed = graph.part("tensor_exposed");
  const LabelId layer = graph.add_label({"layer", {{gemm, 0.75}, {norm, 0.25}}});
  const LabelId reduce = graph.add_label({"all-reduce", {{exposed, 1}}});
  const DeviceId device = graph.add_device({"gpu"});
  const LaneId compute = graph.add_lane({"compute", device, LaneKind::compute});
  const LaneId tensor = graph.add_lane({"tensor", device, LaneKind::communication, reduce});
  const LaneId host = graph.add_lane({"host", device, LaneKind::host});
  const std::int64_t second = 1'000'000'000'000;
  const TaskId first = graph.add_task(on(compute, layer, 8 * second));
  const TaskId all_reduce = graph.add_task(on(tensor, reduce, 5 * second));
  // The host is woken by the all-reduce and launches at once: the wait counts for the lane behind the host's.
  const TaskId launch = graph.add_task(on(host, layer, 0));
  const TaskId last = graph.add_task(on(compute, layer, 2 * second));
  const TaskId send = graph.add_task(on(tensor, reduce, 7 * second));
  graph.add_dependency(first, all_reduce);
  graph.add_dependency(all_reduce, launch);
  graph.add_dependency(launch, last);
  const Timeline timeline = simulate(graph);
  CHECK(timeline.makespan == Picoseconds{20 * second});
  const LaneTime time = lane_time(graph, timeline, compute);
  CHECK(time.seconds_by_part[static_cast<std::size_t>(gemm)] == doctest::Approx(7.5));
  CHECK(time.seconds_by_part[static_cast<std::size_t>(norm)] == doctest::Approx(2.5));
  CHECK(time.wait_by_part[static_cast<std::size_t>(exposed)] == doctest::Approx(5));
  CHECK(time.idle == doctest::Approx(5));  // after its last task
  // All lanes at once give the same.
  CHECK(lane_times(graph, timeline)[static_cast<std::size_t>(compute)].wait_by_part == time.wait_by_part);
  // The tensor lane waited for compute, which has no wait label, at the start of everything: idle.
  CHECK(lane_time(graph, timeline, tensor).idle == doctest::Approx(8));
  CHECK(critical_path(graph, timeline) == std::vector<TaskId>{first, all_reduce, send});
}

TEST_CASE("a gap is shared among those who ran while it lasted") {
  // The second GPU waits 10 s: 6 s for the first GPU's compute, then 4 s for the message between them.
  TaskGraph graph;
  const std::int32_t work = graph.part("work"), bubble = graph.part("bubble"), message = graph.part("message");
  const LabelId working = graph.add_label({"work", {{work, 1}}});
  const LabelId waiting = graph.add_label({"bubble", {{bubble, 1}}});
  const LabelId sending = graph.add_label({"message", {{message, 1}}});
  const LaneId first = graph.add_lane({"compute", graph.add_device({"first"}), LaneKind::compute, waiting});
  const DeviceId device = graph.add_device({"second"});
  const LaneId second = graph.add_lane({"compute", device, LaneKind::compute, waiting});
  const LaneId wire = graph.add_lane({"receive", device, LaneKind::communication, sending});
  const std::int64_t s = 1'000'000'000'000;
  const TaskId a = graph.add_task(on(first, working, 6 * s));
  const TaskId b = graph.add_task(on(wire, sending, 4 * s));
  const TaskId c = graph.add_task(on(second, working, 1 * s));
  graph.add_dependency(a, b);
  graph.add_dependency(b, c);
  const LaneTime time = lane_time(graph, simulate(graph), second);
  CHECK(time.wait_by_part[static_cast<std::size_t>(bubble)] == doctest::Approx(6));
  CHECK(time.wait_by_part[static_cast<std::size_t>(message)] == doctest::Approx(4));
  CHECK(time.idle == doctest::Approx(0));
}

TEST_CASE("the critical path has no gap and lasts the makespan") {
  for (const Schedule& s : schedules()) {
    const TaskGraph graph = pipeline_graph(s, {4, s.name == "interleaved" ? 3 : 1, 12}, {{1009}, {2003}});
    const Timeline timeline = simulate(graph);
    const std::vector<TaskId> path = critical_path(graph, timeline);
    REQUIRE(!path.empty());
    TimePoint reached;
    for (const TaskId task : path) {
      CHECK(timeline.start[static_cast<std::size_t>(task)] == reached);
      reached = timeline.end[static_cast<std::size_t>(task)];
    }
    CHECK(reached - TimePoint{} == timeline.makespan);
  }
  CHECK(critical_path(TaskGraph{}, simulate(TaskGraph{})).empty());
}

TEST_CASE("the critical path of 1F1B with a slow stage runs through that stage") {
  // Stage 1 of 3 takes twice as long: once it is fed, it is never idle, so all its passes are on the path.
  TaskGraph graph;
  const LabelId label = graph.add_label({"pass", {{graph.part("compute"), 1}}});
  std::vector<std::vector<TaskId>> task(3);
  for (std::int32_t stage = 0; stage < 3; ++stage) {
    const LaneId lane = graph.add_lane({"compute", graph.add_device({"stage"}), LaneKind::compute});
    for (int m = 0; m < 5; ++m) {
      task[static_cast<std::size_t>(stage)].push_back(graph.add_task(on(lane, label, stage == 1 ? 20 : 10)));
      if (stage > 0)
        graph.add_dependency(task[static_cast<std::size_t>(stage) - 1][static_cast<std::size_t>(m)],
                             task[static_cast<std::size_t>(stage)][static_cast<std::size_t>(m)]);
    }
  }
  const Timeline timeline = simulate(graph);
  // 10 + 5 * 20 + 10.
  CHECK(timeline.makespan == Picoseconds{120});
  const std::vector<TaskId> expected = {task[0][0], task[1][0], task[1][1], task[1][2],
                                        task[1][3], task[1][4], task[2][4]};
  CHECK(critical_path(graph, timeline) == expected);
}
