#include "planner/report_timeline.h"

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "sim/schedule.h"
#include "sim/simulator.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;

namespace {

std::size_t slices_in(const ReportTimeline& t) {
  std::size_t count = 0;
  for (const ReportStage& stage : t.stages)
    for (const ReportLane& lane : stage.lanes) count += lane.slices.size();
  return count;
}

/// 1F1B with 8 stages and 16 micro-batches, forward 1 ms and backward 2 ms: 8 x 32 passes in (16 + 7) x 3 ms.
struct Step {
  sim::TaskGraph graph =
      sim::pipeline_graph(*sim::find_schedule("1f1b"), {8, 1, 16}, {{1'000'000'000}, {2'000'000'000}});
  sim::Timeline timeline = sim::simulate(graph);
};

}  // namespace

TEST_CASE("a short step is shown whole, in microseconds") {
  const Step step;
  const ReportTimeline t = report_timeline(step.graph, step.timeline, 1000);
  CHECK(t.makespan == 69'000);
  CHECK(t.stages.size() == 8);
  CHECK(slices_in(t) == 256);
  REQUIRE(t.stages[0].lanes.size() == 1);
  const ReportSlice& first = t.stages[0].lanes[0].slices.front();
  CHECK(first.start == 0);
  CHECK(first.end == 1000);
  CHECK(t.names[static_cast<std::size_t>(first.name)] == "forward");
  const ReportSlice& last = t.stages[0].lanes[0].slices.back();
  CHECK(last.end == 69'000);
  CHECK(last.index == 15);
}

TEST_CASE("labels of one name are one name") {
  const Step step;
  sim::TaskGraph graph = step.graph;
  graph.add_label({"forward", {{graph.part("compute"), 1}}});  // as each chunk has one of its own
  const ReportTimeline t = report_timeline(graph, step.timeline, 1000);
  CHECK(std::count(t.names.begin(), t.names.end(), "forward") == 1);
}

TEST_CASE("launches go first, then stages down to four, then the middle of the step") {
  Step step;
  const sim::LaneId host = step.graph.add_lane({"host", 0, sim::LaneKind::host});
  for (int i = 0; i < 10; ++i)
    step.graph.add_task({.lane = host, .label = 0, .duration = {1'000'000'000}, .flow = {}, .rate_limit = {}});
  const sim::Timeline timeline = sim::simulate(step.graph);
  CHECK(slices_in(report_timeline(step.graph, timeline, 266)) == 266);
  const ReportTimeline no_host = report_timeline(step.graph, timeline, 265);
  CHECK(slices_in(no_host) == 256);
  CHECK(no_host.note.find("Launches") != std::string::npos);
  const ReportTimeline four = report_timeline(step.graph, timeline, 255);
  CHECK(slices_in(four) == 128);
  CHECK(four.note.find("4 of 8 stages") != std::string::npos);
  CHECK(four.stages.front().name == "stage 0");
  CHECK(four.stages.back().name == "stage 7");
}

TEST_CASE("what is cut from the middle leaves both ends as they are, and one slice in its place") {
  const Step step;
  const ReportTimeline t = report_timeline(step.graph, step.timeline, 60);
  CHECK(slices_in(t) <= 60 + 4);
  CHECK(slices_in(t) > 40);
  CHECK(t.note.find("not drawn") != std::string::npos);
  for (const ReportStage& stage : t.stages) {
    const std::vector<ReportSlice>& slices = stage.lanes.at(0).slices;
    const auto cut = [&](const ReportSlice& s) { return t.names[static_cast<std::size_t>(s.name)] == "not drawn"; };
    CHECK(std::count_if(slices.begin(), slices.end(), cut) == 1);
    for (std::size_t i = 1; i < slices.size(); ++i) CHECK(slices[i].start >= slices[i - 1].end);
  }
  const std::vector<ReportSlice>& first = t.stages.front().lanes.at(0).slices;
  CHECK(first.front().start == 0);
  CHECK(first.back().end == 69'000);
}

TEST_CASE("a step without tasks has no stage lanes") {
  const sim::TaskGraph graph;
  CHECK(report_timeline(graph, sim::simulate(graph), 100).stages.empty());
}
