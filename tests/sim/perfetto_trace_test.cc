// Perfetto traces, read back by a decoder of its own, and set beside Chrome's JSON of the same step.
#include "sim/perfetto_trace.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "sim/chrome_trace.h"
#include "sim/simulator.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

/// One decoded field: a number, or bytes.
struct WireField {
  std::uint64_t number = 0;
  std::string_view bytes;
};
using WireMessage = std::multimap<std::uint32_t, WireField>;

std::uint64_t varint(std::string_view& text) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    REQUIRE(!text.empty());
    REQUIRE(shift < 64);
    const auto byte = static_cast<unsigned char>(text.front());
    text.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
}

WireMessage decode(std::string_view text) {
  WireMessage message;
  while (!text.empty()) {
    const std::uint64_t key = varint(text);
    WireField field;
    if ((key & 7) == 0) {
      field.number = varint(text);
    } else if ((key & 7) == 1) {
      REQUIRE(text.size() >= 8);
      for (std::size_t i = 0; i < 8; ++i) field.number |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
      text.remove_prefix(8);
    } else {
      REQUIRE((key & 7) == 2);
      const std::uint64_t size = varint(text);
      REQUIRE(text.size() >= size);
      field.bytes = text.substr(0, size);
      text.remove_prefix(size);
    }
    message.emplace(static_cast<std::uint32_t>(key >> 3), field);
  }
  return message;
}

std::uint64_t number_in(const WireMessage& m, std::uint32_t field) {
  REQUIRE(m.count(field) == 1);
  return m.find(field)->second.number;
}
std::string_view bytes_in(const WireMessage& m, std::uint32_t field) {
  REQUIRE(m.count(field) == 1);
  return m.find(field)->second.bytes;
}

/// process, thread, name, begin and end in nanoseconds.
using NamedSlice = std::tuple<std::string, std::string, std::string, std::int64_t, std::int64_t>;

struct PerfettoTrace {
  std::map<std::uint64_t, std::string> names;                                        // [iid]
  std::map<std::uint64_t, std::pair<std::string, std::string>> threads;              // [track] process, thread
  std::map<std::uint64_t, std::string> processes, counters;                          // [track]
  std::vector<NamedSlice> slices;                                                    // as they end
  std::map<std::string, std::vector<std::pair<std::int64_t, std::int64_t>>> levels;  // [process/counter] time, value
  std::map<std::uint64_t, std::vector<std::int64_t>> flows_begun, flows_ended;       // [flow] begin of the slices
  std::set<std::string> faults;
};

void read_descriptor(PerfettoTrace& t, const WireMessage& d) {
  const std::uint64_t uuid = number_in(d, 1);
  if (d.count(3) == 1) t.processes[uuid] = bytes_in(decode(bytes_in(d, 3)), 6);
  if (d.count(4) == 1) {
    const WireMessage thread = decode(bytes_in(d, 4));
    const std::string process = t.processes.at(number_in(d, 5));
    if (!t.threads.emplace(uuid, std::pair(process, std::string(bytes_in(thread, 5)))).second)
      t.faults.insert("a thread named twice");
  }
  if (d.count(8) == 1) t.counters[uuid] = t.processes.at(number_in(d, 5)) + "/" + std::string(bytes_in(d, 2));
}

/// Reads all packets, and notes what Perfetto's importer would stumble over.
PerfettoTrace read_trace(const std::string& file) {
  PerfettoTrace t;
  struct Open {
    std::string name;
    std::int64_t begin;
  };
  std::map<std::uint64_t, std::vector<Open>> open;  // [track]
  std::map<std::uint64_t, std::int64_t> last;       // [track] time
  bool first = true;
  for (const auto& [field, value] : decode(file)) {
    REQUIRE(field == 1);
    const WireMessage packet = decode(value.bytes);
    if (number_in(packet, 10) != 1) t.faults.insert("another sequence");
    if (first && number_in(packet, 13) != 1) t.faults.insert("no clean beginning");
    first = false;
    if (packet.count(12) == 1)
      for (const auto& [table, entry] : decode(bytes_in(packet, 12)))
        if (table == 2) t.names[number_in(decode(entry.bytes), 1)] = bytes_in(decode(entry.bytes), 2);
    if (packet.count(60) == 1) read_descriptor(t, decode(bytes_in(packet, 60)));
    if (packet.count(11) == 0) continue;
    if (number_in(packet, 13) != 2) t.faults.insert("names may be missing");
    const auto time = static_cast<std::int64_t>(number_in(packet, 8));
    const WireMessage event = decode(bytes_in(packet, 11));
    const std::uint64_t track = number_in(event, 11), type = number_in(event, 9);
    if (last.count(track) == 1 && last[track] > time) t.faults.insert("back in time");
    last[track] = time;
    if (type == 4) {
      if (t.counters.count(track) == 0) t.faults.insert("a counter without a track");
      t.levels[t.counters[track]].emplace_back(time, static_cast<std::int64_t>(number_in(event, 30)));
      continue;
    }
    if (t.threads.count(track) == 0) t.faults.insert("a slice without a thread");
    if (type == 1) {
      open[track].push_back({t.names.at(number_in(event, 10)), time});
      for (auto [at, end] = event.equal_range(47); at != end; ++at) t.flows_begun[at->second.number].push_back(time);
      for (auto [at, end] = event.equal_range(48); at != end; ++at) t.flows_ended[at->second.number].push_back(time);
    } else if (open[track].empty()) {
      t.faults.insert("an end without a beginning");
    } else {
      const Open begun = open[track].back();
      open[track].pop_back();
      t.slices.emplace_back(t.threads[track].first, t.threads[track].second, begun.name, begun.begin, time);
    }
  }
  for (const auto& [track, left] : open)
    if (!left.empty()) t.faults.insert("a beginning without an end");
  return t;
}

std::string perfetto_of(const TaskGraph& graph, const Timeline& timeline, const TraceOptions& options = {}) {
  std::ostringstream out;
  write_perfetto_trace(graph, timeline, out, options);
  return out.str();
}

nlohmann::json chrome_of(const TaskGraph& graph, const Timeline& timeline, const TraceOptions& options = {}) {
  std::ostringstream out;
  write_chrome_trace(graph, timeline, out, options);
  return nlohmann::json::parse(out.str());
}

/// The slices of a Chrome trace, by the names of its processes and threads.
std::vector<NamedSlice> slices_of(const nlohmann::json& trace) {
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, std::string> threads;
  std::vector<NamedSlice> slices;
  for (const auto& e : trace.at("traceEvents")) {
    if (e.at("name") == "process_name") processes[e.at("pid")] = e.at("args").at("name");
    if (e.at("name") == "thread_name") threads[{e.at("pid"), e.at("tid")}] = e.at("args").at("name");
  }
  const auto nanoseconds = [](const nlohmann::json& value) { return std::llround(value.get<double>() * 1000); };
  for (const auto& e : trace.at("traceEvents")) {
    if (e.at("ph") != "X") continue;
    const std::int64_t begin = nanoseconds(e.at("ts"));
    slices.emplace_back(processes.at(e.at("pid")), threads.at({e.at("pid"), e.at("tid")}), e.at("name"), begin,
                        begin + nanoseconds(e.at("dur")));
  }
  return slices;
}

/// The same slices, but for the nanosecond that Chrome's format may take off their ends.
bool alike(std::vector<NamedSlice> perfetto, std::vector<NamedSlice> chrome) {
  std::sort(perfetto.begin(), perfetto.end());
  std::sort(chrome.begin(), chrome.end());
  const auto same = [](const NamedSlice& a, const NamedSlice& b) {
    const std::int64_t longer = std::get<4>(a) - std::get<4>(b);
    return std::get<0>(a) == std::get<0>(b) && std::get<1>(a) == std::get<1>(b) && std::get<2>(a) == std::get<2>(b) &&
           std::get<3>(a) == std::get<3>(b) && (longer == 0 || longer == 1);
  };
  return std::equal(perfetto.begin(), perfetto.end(), chrome.begin(), chrome.end(), same);
}

/// Two stages that send 3 MB over one link of 1 GB/s at the same time, then one of them 2 MB more.
struct SharedLink {
  TaskGraph graph;
  SharedLink() {
    const LabelId send = graph.add_label({"send", {{graph.part("send"), 1}}});
    const RouteId route = graph.add_route({{graph.add_link({"nic", 1 * GB_per_s}), 1}});
    for (int s = 0; s < 2; ++s) {
      const DeviceId device = graph.add_device({"stage " + std::to_string(s), 4});
      const LaneId lane = graph.add_lane({"pipeline", device, LaneKind::communication});
      add_flow(lane, send, route, 3 * MB);
      if (s == 1) add_flow(lane, send, route, 2 * MB);
    }
  }
  void add_flow(LaneId lane, LabelId label, RouteId route, Bytes size) {
    graph.add_task(
        {.lane = lane, .label = label, .duration = {}, .flow = size, .rate_limit = {}, .route = route, .payload = 0});
  }
};

}  // namespace

TEST_CASE("Perfetto and Chrome traces of every schedule show the same slices, well nested") {
  for (const Schedule& s : schedules()) {
    const TaskGraph graph = pipeline_graph(s, {4, s.name == "interleaved" ? 2 : 1, 8}, {{1'000'499}, {1'999'501}});
    const Timeline timeline = simulate(graph);
    const PerfettoTrace trace = read_trace(perfetto_of(graph, timeline));
    CHECK(trace.faults == std::set<std::string>{});
    CHECK(trace.slices.size() == static_cast<std::size_t>(graph.task_count()));
    CHECK(alike(trace.slices, slices_of(chrome_of(graph, timeline))));
  }
}

TEST_CASE("the highest memory counter of a device is its simulated peak, and at the end activations are gone") {
  TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1'000'000}, {2'000'000}});
  graph.add_static_memory(0, graph.memory_label("weights"), 1000);
  const Timeline timeline = simulate(graph);
  const PerfettoTrace trace = read_trace(perfetto_of(graph, timeline));
  for (std::size_t d = 0; d < 4; ++d) {
    const std::string process = "stage " + std::to_string(d);
    std::int64_t highest = 0;
    for (const auto& [time, value] : trace.levels.at(process + "/memory")) highest = std::max(highest, value);
    CHECK(highest == timeline.memory_peaks[d].bytes);
    CHECK(trace.levels.at(process + "/memory: activations").back().second == 0);
    CHECK(trace.levels.at(process + "/memory: activations").back().first == timeline.makespan.count / 1000);
  }
  CHECK(trace.levels.at("stage 0/memory: weights").front() == std::pair<std::int64_t, std::int64_t>(0, 1000));
}

TEST_CASE("a link's counter shows what flows through it at each instant, in both formats") {
  // Both get 0.5 GB/s for 6 ms; then the second one's next 2 MB have the link for 2 ms. 8 MB in all.
  const SharedLink step;
  const Timeline timeline = simulate(step.graph, {.rates = true});
  using Levels = std::vector<std::pair<std::int64_t, std::int64_t>>;
  const Levels expected = {{0, 1'000'000'000}, {8'000'000, 0}};
  const PerfettoTrace trace = read_trace(perfetto_of(step.graph, timeline));
  CHECK(trace.faults == std::set<std::string>{});
  CHECK(trace.levels.at("network/nic") == expected);
  Levels chrome;
  const nlohmann::json json = chrome_of(step.graph, timeline);
  for (const auto& e : json.at("traceEvents"))
    if (e.at("ph") == "C" && e.at("name") == "nic (bytes/s)")
      chrome.emplace_back(std::llround(e.at("ts").get<double>() * 1000), e.at("args").at("used").get<std::int64_t>());
  CHECK(chrome == expected);
  CHECK(read_trace(perfetto_of(step.graph, simulate(step.graph))).levels.empty());
}

TEST_CASE("a task with a payload is called by its name, and its label stands beside it") {
  const SharedLink step;
  const Timeline timeline = simulate(step.graph);
  const TraceOptions options{.payload_names = {"all_gather 3 MB ring simple"}};
  const PerfettoTrace trace = read_trace(perfetto_of(step.graph, timeline, options));
  REQUIRE(trace.slices.size() == 3);
  for (const NamedSlice& slice : trace.slices) CHECK(std::get<2>(slice) == "all_gather 3 MB ring simple");
  const nlohmann::json chrome = chrome_of(step.graph, timeline, options);
  CHECK(alike(trace.slices, slices_of(chrome)));
  for (const auto& e : chrome.at("traceEvents"))
    if (e.at("ph") == "X") CHECK(e.at("args").at("label") == "send");
}

TEST_CASE("what one stage sends to another is a flow with one beginning and one end, forward in time") {
  TaskGraph graph;
  const LabelId label = graph.add_label({"work", {{graph.part("work"), 1}}});
  std::vector<LaneId> lanes;
  for (int d = 0; d < 3; ++d) {
    const DeviceId device = graph.add_device({"stage " + std::to_string(d)});
    lanes.push_back(graph.add_lane({"pipeline", device, LaneKind::communication}));
  }
  std::vector<TaskId> tasks;
  for (const LaneId lane : lanes)
    tasks.push_back(graph.add_task({.lane = lane, .label = label, .duration = {5'000}, .flow = {}, .rate_limit = {}}));
  graph.add_dependency(tasks[0], tasks[2]);  // added in another order than the tasks run
  graph.add_dependency(tasks[0], tasks[1]);
  const PerfettoTrace trace = read_trace(perfetto_of(graph, simulate(graph)));
  CHECK(trace.flows_begun == std::map<std::uint64_t, std::vector<std::int64_t>>{{1, {0}}, {2, {0}}});
  CHECK(trace.flows_ended == std::map<std::uint64_t, std::vector<std::int64_t>>{{1, {5}}, {2, {5}}});
}

TEST_CASE("a trace of some devices holds these, their flows and their links only") {
  const TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1'000'000}, {2'000'000}});
  const Timeline timeline = simulate(graph);
  const TraceOptions options{.devices = {0, 3}};
  const PerfettoTrace trace = read_trace(perfetto_of(graph, timeline, options));
  CHECK(trace.processes.size() == 2);
  CHECK(trace.slices.size() == 2 * 16);
  CHECK(alike(trace.slices, slices_of(chrome_of(graph, timeline, options))));
}

TEST_CASE("an empty graph gives names only, and the same graph the same bytes") {
  CHECK(read_trace(perfetto_of(TaskGraph{}, simulate(TaskGraph{}))).slices.empty());
  const TaskGraph graph = pipeline_graph(*find_schedule("1f1b"), {4, 1, 8}, {{1'000'003}, {2'000'001}});
  CHECK(perfetto_of(graph, simulate(graph)) == perfetto_of(graph, simulate(graph)));
}
