#include "sim/chrome_trace.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "sim/simulator.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;
using namespace foretrain::sim;
using nlohmann::json;

namespace {

std::string trace_of(const TaskGraph& graph, const Timeline& timeline, const TraceOptions& options = {}) {
  std::ostringstream out;
  write_chrome_trace(graph, timeline, out, options);
  return out.str();
}

std::int64_t nanoseconds_in(const json& microseconds_value) {
  return std::llround(microseconds_value.get<double>() * 1000);
}

/// Nanoseconds; and microseconds as readers that compute in doubles see them.
struct Slice {
  std::int64_t start, end;
  double begin_us, end_us;
};
using Thread = std::pair<std::int64_t, std::int64_t>;  // pid, tid

/// Any two slices are apart, or one is inside the other.
bool nested(std::vector<Slice> slices) {
  std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
    return a.start != b.start ? a.start < b.start : a.end > b.end;
  });
  std::vector<Slice> open;  // the slices around the current one
  for (const Slice& slice : slices) {
    while (!open.empty() && open.back().end_us <= slice.begin_us) open.pop_back();
    if (!open.empty() && (slice.end > open.back().end || slice.end_us > open.back().end_us)) return false;
    open.push_back(slice);
  }
  return true;
}

/// What breaks the rules of the viewers: every process and thread named once; on a thread any two slices apart or one
/// inside the other; counters with numbers; arrows in pairs, forward in time, with both ends inside a slice.
std::set<std::string> faults(const json& trace) {
  std::set<std::string> found;
  const auto expect = [&](bool holds, const std::string& otherwise) {
    if (!holds) found.insert(otherwise);
  };
  const auto thread_of = [](const json& e) {
    return Thread{e.at("pid").get<std::int64_t>(), e.at("tid").get<std::int64_t>()};
  };
  std::set<std::int64_t> processes;
  std::set<Thread> threads;
  std::map<Thread, std::vector<Slice>> slices;
  for (const json& e : trace.at("traceEvents")) {
    const std::string phase = e.at("ph");
    if (phase == "M" && e.at("name") == "process_name")
      expect(processes.insert(e.at("pid").get<std::int64_t>()).second, "process named twice");
    if (phase == "M" && e.at("name") == "thread_name")
      expect(threads.insert(thread_of(e)).second, "thread named twice");
    if (phase == "X") {
      const std::int64_t start = nanoseconds_in(e.at("ts")), length = nanoseconds_in(e.at("dur"));
      expect(start >= 0 && length >= 0, "negative time");
      const double begin = e.at("ts").get<double>();
      slices[thread_of(e)].push_back({start, start + length, begin, begin + e.at("dur").get<double>()});
    }
    if (phase == "C")
      for (const auto& series : e.at("args").items())
        expect(series.value().is_number_integer(), "counter without a number");
  }
  for (const auto& [thread, all] : slices) {
    expect(threads.count(thread) == 1 && processes.count(thread.first) == 1, "slices on a thread without a name");
    expect(nested(all), "slices overlap");
  }
  const auto inside_a_slice = [&](const json& e) {
    const std::vector<Slice>& all = slices[thread_of(e)];
    const std::int64_t ts = nanoseconds_in(e.at("ts"));
    return std::any_of(all.begin(), all.end(), [&](const Slice& s) { return s.start <= ts && ts < s.end; });
  };
  std::map<std::int64_t, json> open_arrows;
  for (const json& e : trace.at("traceEvents")) {
    if (e.at("ph") != "s" && e.at("ph") != "f") continue;
    expect(inside_a_slice(e), "arrow outside of slices");
    const std::int64_t id = e.at("id").get<std::int64_t>();
    if (e.at("ph") == "s") {
      expect(open_arrows.emplace(id, e).second, "arrow begins twice");
      continue;
    }
    const auto begin = open_arrows.find(id);
    if (begin == open_arrows.end()) {
      found.insert("arrow without a beginning");
      continue;
    }
    expect(nanoseconds_in(begin->second.at("ts")) <= nanoseconds_in(e.at("ts")), "arrow back in time");
    expect(begin->second.at("cat") == e.at("cat") && begin->second.at("name") == e.at("name") && e.at("bp") == "e",
           "arrow ends do not match");
    open_arrows.erase(begin);
  }
  expect(open_arrows.empty(), "arrow without an end");
  return found;
}

std::vector<json> events(const json& trace, const std::string& phase) {
  std::vector<json> found;
  for (const json& e : trace.at("traceEvents"))
    if (e.at("ph") == phase) found.push_back(e);
  return found;
}

}  // namespace

TEST_CASE("a trace of every schedule is well formed and has every task once, whatever the picoseconds") {
  for (const Schedule& s : schedules()) {
    const TaskGraph graph = pipeline_graph(s, {4, s.name == "interleaved" ? 2 : 1, 8}, {{1'000'499}, {1'999'501}});
    const json trace = json::parse(trace_of(graph, simulate(graph)));
    CHECK(faults(trace).empty());
    CHECK(events(trace, "X").size() == static_cast<std::size_t>(graph.task_count()));
  }
}

TEST_CASE("slices do not overlap for readers that add doubles either, late in a long step") {
  // 34,209.976 + 1,710.499 = 35,920.475000000006 in doubles: speedscope then finds slices that end in each other.
  TaskGraph graph;
  const LabelId label = graph.add_label({"gather", {{graph.part("gather"), 1}}});
  const LaneId lane = graph.add_lane({"data", graph.add_device({"stage 0"}), LaneKind::communication});
  for (int i = 0; i < 20'000; ++i)
    graph.add_task({.lane = lane, .label = label, .duration = {1'710'498'900}, .flow = {}, .rate_limit = {}});
  CHECK(faults(json::parse(trace_of(graph, simulate(graph)))).empty());
}

TEST_CASE("the checker finds what viewers stumble over") {
  const json overlap = json::parse(R"({"traceEvents": [
    {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "p"}},
    {"ph": "M", "name": "thread_name", "pid": 0, "tid": 0, "args": {"name": "t"}},
    {"ph": "X", "name": "a", "pid": 0, "tid": 0, "ts": 0, "dur": 0.010},
    {"ph": "X", "name": "b", "pid": 0, "tid": 0, "ts": 0.005, "dur": 0.010},
    {"ph": "s", "id": 1, "name": "d", "cat": "d", "pid": 0, "tid": 0, "ts": 0.020}]})");
  CHECK(faults(overlap) == std::set<std::string>{"arrow outside of slices", "arrow without an end", "slices overlap"});
  const json unnamed = json::parse(R"({"traceEvents": [
    {"ph": "X", "name": "a", "pid": 0, "tid": 0, "ts": 0, "dur": 0.010},
    {"ph": "X", "name": "inside", "pid": 0, "tid": 0, "ts": 0.002, "dur": 0.008},
    {"ph": "X", "name": "next", "pid": 0, "tid": 0, "ts": 0.010, "dur": 0.010}]})");
  CHECK(faults(unnamed) == std::set<std::string>{"slices on a thread without a name"});
}

TEST_CASE("slices carry times in microseconds, label, micro-batch, chunk, parts and bytes") {
  TaskGraph graph;
  const std::int32_t gemm = graph.part("gemm"), norm = graph.part("norm");
  const LabelId layer = graph.add_label({"layer \"7\"\n", {{gemm, 0.75}, {norm, 0.25}}});
  const LabelId send = graph.add_label({"send", {{gemm, 1}}});
  const DeviceId first = graph.add_device({"stage 0", 128}), second = graph.add_device({"stage 1"});
  const LaneId compute = graph.add_lane({"compute", first, LaneKind::compute});
  const LaneId pipe = graph.add_lane({"pipeline", first, LaneKind::communication});
  const LaneId next = graph.add_lane({"compute", second, LaneKind::compute});
  const RouteId route = graph.add_route({{graph.add_link({"nic", 1 * GB_per_s}), 1}});
  // 1,234,567.5 ns of compute, then 3 MB at 1 GB/s: 3 ms.
  const TaskId a = graph.add_task({.lane = compute,
                                   .label = layer,
                                   .duration = {1'234'567'500},
                                   .flow = {},
                                   .rate_limit = {},
                                   .index = 3,
                                   .part = 1});
  const TaskId b =
      graph.add_task({.lane = pipe, .label = send, .duration = {}, .flow = 3 * MB, .rate_limit = {}, .route = route});
  const TaskId c =
      graph.add_task({.lane = next, .label = layer, .duration = {1'000'000}, .flow = {}, .rate_limit = {}});
  graph.add_dependency(a, b);
  graph.add_dependency(b, c);
  const json trace = json::parse(trace_of(graph, simulate(graph), {.metadata = {{"plan", "tp 8"}}}));
  CHECK(faults(trace).empty());
  CHECK(trace.at("otherData").at("plan") == "tp 8");
  const std::vector<json> slices = events(trace, "X");
  REQUIRE(slices.size() == 3);
  CHECK(slices[0].at("name") == "layer \"7\"\n");
  CHECK(slices[0].at("cat") == "compute");
  CHECK(slices[0].at("ts") == 0.0);
  CHECK(slices[0].at("dur") == 1234.568);
  CHECK(slices[0].at("args") ==
        json{{"task", 0}, {"micro_batch", 3}, {"chunk", 1}, {"parts", {{"gemm", 0.75}, {"norm", 0.25}}}});
  // The send follows without a gap, and ends at 4,234,567.5 ns.
  CHECK(slices[1].at("ts") == 1234.568);
  CHECK(slices[1].at("dur") == 3000.0);
  CHECK(slices[1].at("args") == json{{"task", 1}, {"bytes", 3'000'000}});
  CHECK(slices[2].at("pid") == 1);
  CHECK(slices[2].at("tid") == 0);
  // One arrow: from the send's last nanosecond to the start of the next stage. Not the one inside stage 0.
  REQUIRE(events(trace, "s").size() == 1);
  CHECK(events(trace, "s")[0].at("ts") == 4234.567);
  CHECK(events(trace, "f")[0].at("ts") == 4234.568);
  CHECK(events(trace, "s")[0].at("tid") == 1);
  CHECK(events(trace, "f")[0].at("pid") == 1);
  const std::vector<json> names = events(trace, "M");
  CHECK(std::any_of(names.begin(), names.end(), [](const json& e) {
    return e.at("name") == "process_labels" && e.at("args").at("labels") == "one of 128 alike";
  }));
}

TEST_CASE("the highest sum of a device's memory counters is its simulated peak, label by label") {
  TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1'000'000}, {2'000'000}});
  graph.add_static_memory(0, graph.memory_label("weights"), 1000);
  const Timeline timeline = simulate(graph);
  const json trace = json::parse(trace_of(graph, timeline));
  CHECK(faults(trace).empty());
  for (std::int64_t device = 0; device < 4; ++device) {
    std::int64_t highest = -1;
    json at_highest, last;
    for (const json& e : events(trace, "C")) {
      if (e.at("pid") != device) continue;
      std::int64_t sum = 0;
      for (const auto& series : e.at("args").items()) sum += series.value().get<std::int64_t>();
      if (sum > highest) at_highest = e;
      highest = std::max(highest, sum);
      last = e;
    }
    const MemoryPeak& peak = timeline.memory_peaks[static_cast<std::size_t>(device)];
    CHECK(highest == peak.bytes);
    CHECK(at_highest.at("args").at("activations") == peak.by_label[0]);
    CHECK(at_highest.at("args").at("weights") == peak.by_label[1]);
    // At the end the activations are gone, and the counter lasts as long as the step.
    CHECK(last.at("args").at("activations") == 0);
    CHECK(nanoseconds_in(last.at("ts")) == timeline.makespan.count / 1000);
  }
}

TEST_CASE("an empty graph gives an empty trace, and the same graph the same bytes") {
  CHECK(json::parse(trace_of(TaskGraph{}, simulate(TaskGraph{}))).at("traceEvents").empty());
  const TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1'000'003}, {2'000'001}});
  CHECK(trace_of(graph, simulate(graph)) == trace_of(graph, simulate(graph)));
}
