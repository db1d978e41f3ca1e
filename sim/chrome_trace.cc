#include "sim/chrome_trace.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <ostream>
#include <string_view>

#include <fmt/format.h>

namespace foretrain::sim {
namespace {

constexpr std::array<std::string_view, 4> kLaneKindNames = {"host", "compute", "communication", "copy"};

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

std::int64_t nanoseconds_of(TimePoint t) { return (t.ps + 500) / 1000; }

/// A JSON string, quoted. UTF-8 passes as it is.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

class Writer {
 public:
  Writer(const TaskGraph& graph, const Timeline& timeline, std::ostream& out, const ChromeTraceOptions& options)
      : graph_(graph), timeline_(timeline), out_(out), options_(options) {}

  void write();

 private:
  /// Starts an event; the caller ends it with a "}".
  template <class... Args>
  void event(fmt::format_string<Args...> format, Args&&... args) {
    text_.append(std::string_view(first_ ? "\n" : ",\n"));
    first_ = false;
    put(format, std::forward<Args>(args)...);
    if (text_.size() > kFlushAt) flush();
  }
  template <class... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  /// Microseconds with three decimals, from whole nanoseconds.
  void put_time(std::string_view key, std::int64_t nanoseconds) {
    put(",\"{}\":{}.{:03}", key, nanoseconds / 1000, nanoseconds % 1000);
  }
  void flush() {
    out_.write(text_.data(), static_cast<std::streamsize>(text_.size()));
    text_.clear();
  }

  void number_lanes();
  void name_processes_and_threads();
  void write_slices();
  void write_memory();
  void write_arrows();

  static constexpr std::size_t kFlushAt = 1 << 16;
  const TaskGraph& graph_;
  const Timeline& timeline_;
  std::ostream& out_;
  const ChromeTraceOptions& options_;
  fmt::memory_buffer text_;
  bool first_ = true;
  std::vector<std::int32_t> thread_of_;  ///< [lane] its number within its device
};

void Writer::write() {
  number_lanes();
  put("{{\"displayTimeUnit\":\"ms\",\"otherData\":{{");
  for (std::size_t i = 0; i < options_.metadata.size(); ++i)
    put("{}{}:{}", i == 0 ? "" : ",", quoted(options_.metadata[i].first), quoted(options_.metadata[i].second));
  put("}},\"traceEvents\":[");
  name_processes_and_threads();
  write_slices();
  write_memory();
  write_arrows();
  put("\n]}}\n");
  flush();
}

void Writer::number_lanes() {
  std::vector<std::int32_t> lanes_of_device(graph_.devices().size(), 0);
  for (const Lane& lane : graph_.lanes()) thread_of_.push_back(lanes_of_device[at(lane.device)]++);
}

void Writer::name_processes_and_threads() {
  for (std::size_t d = 0; d < graph_.devices().size(); ++d) {
    const Device& device = graph_.devices()[d];
    event("{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":{}}}}}", d, quoted(device.name));
    event("{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":{},\"args\":{{\"sort_index\":{}}}}}", d, d);
    if (device.multiplicity > 1)
      event("{{\"ph\":\"M\",\"name\":\"process_labels\",\"pid\":{},\"args\":{{\"labels\":\"one of {} alike\"}}}}", d,
            device.multiplicity);
  }
  for (std::size_t l = 0; l < graph_.lanes().size(); ++l) {
    const Lane& lane = graph_.lanes()[l];
    event("{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":{}}}}}", lane.device,
          thread_of_[l], quoted(lane.name));
    event("{{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":{},\"tid\":{},\"args\":{{\"sort_index\":{}}}}}",
          lane.device, thread_of_[l], thread_of_[l]);
  }
}

void Writer::write_slices() {
  // What is the same for all tasks of a label.
  std::vector<std::string> names, shares;
  for (const Label& label : graph_.labels()) {
    names.push_back(quoted(label.name));
    std::string share;
    for (const LabelPart& part : label.parts)
      share += fmt::format("{}{}:{}", share.empty() ? "" : ",", quoted(graph_.parts()[at(part.part)]), part.fraction);
    shares.push_back(label.parts.size() > 1 ? fmt::format(",\"parts\":{{{}}}", share) : "");
  }
  const std::string index_key = quoted(options_.index_name), part_key = quoted(options_.part_name);
  for (TaskId id = 0; id < graph_.task_count(); ++id) {
    const TaskSpec task = graph_.task(id);
    const Lane& lane = graph_.lanes()[at(task.lane)];
    const std::int64_t start = nanoseconds_of(timeline_.start[at(id)]);
    event("{{\"ph\":\"X\",\"name\":{},\"cat\":\"{}\",\"pid\":{},\"tid\":{}", names[at(task.label)],
          kLaneKindNames[static_cast<std::size_t>(lane.kind)], lane.device, thread_of_[at(task.lane)]);
    put_time("ts", start);
    put_time("dur", nanoseconds_of(timeline_.end[at(id)]) - start);
    put(",\"args\":{{\"task\":{}", id);
    if (task.index != kNone) put(",{}:{}", index_key, task.index);
    if (task.part != kNone) put(",{}:{}", part_key, task.part);
    if (task.flow.base() > 0) put(",\"bytes\":{}", static_cast<std::int64_t>(task.flow.base()));
    put("{}}}}}", shares[at(task.label)]);
  }
}

/// A sample at the beginning, at each nanosecond at which the level changes, and at the end.
void Writer::write_memory() {
  struct Change {
    TimePoint time;
    MemoryLabelId label;
    std::int64_t bytes;
  };
  if (graph_.memory_labels().empty()) return;
  std::vector<std::vector<std::int64_t>> level = graph_.static_memory();
  std::vector<std::vector<Change>> changes(graph_.devices().size());
  for (const MemoryEffect& effect : graph_.memory_effects()) {
    const TimePoint time = effect.at_end ? timeline_.end[at(effect.task)] : timeline_.start[at(effect.task)];
    changes[at(graph_.device_of(effect.task))].push_back({time, effect.label, effect.bytes});
  }
  for (std::size_t d = 0; d < changes.size(); ++d) {
    std::vector<Change>& own = changes[d];
    std::stable_sort(own.begin(), own.end(), [](const Change& a, const Change& b) { return a.time < b.time; });
    const auto sample = [&](std::int64_t nanoseconds) {
      event("{{\"ph\":\"C\",\"name\":\"memory (bytes)\",\"pid\":{}", d);
      put_time("ts", nanoseconds);
      for (std::size_t m = 0; m < level[d].size(); ++m)
        put("{}{}:{}", m == 0 ? ",\"args\":{" : ",", quoted(graph_.memory_labels()[m]), level[d][m]);
      put("}}}}");
    };
    if (own.empty() || nanoseconds_of(own.front().time) > 0) sample(0);
    for (std::size_t i = 0; i < own.size(); ++i) {
      level[d][at(own[i].label)] += own[i].bytes;
      const std::int64_t now = nanoseconds_of(own[i].time);
      if (i + 1 == own.size() || nanoseconds_of(own[i + 1].time) > now) sample(now);
    }
    const std::int64_t end = nanoseconds_of(TimePoint{} + timeline_.makespan);
    if (own.empty() || nanoseconds_of(own.back().time) < end) sample(end);
  }
}

/// From the last nanosecond of the slice that was waited for to the first of the one that waited.
void Writer::write_arrows() {
  std::int64_t number = 0;
  for (const auto& [before, after] : graph_.dependencies()) {
    const LaneId from = graph_.lane_of(before), to = graph_.lane_of(after);
    const Lane &from_lane = graph_.lanes()[at(from)], &to_lane = graph_.lanes()[at(to)];
    if (from_lane.device == to_lane.device) continue;
    if (from_lane.kind != LaneKind::communication && to_lane.kind != LaneKind::communication) continue;
    const std::int64_t last = nanoseconds_of(timeline_.end[at(before)]) - 1;
    const std::int64_t first = nanoseconds_of(timeline_.start[at(after)]);
    if (last < nanoseconds_of(timeline_.start[at(before)]) || nanoseconds_of(timeline_.end[at(after)]) <= first)
      continue;
    const auto end_of_arrow = [&](std::string_view phase, const Lane& lane, LaneId id, std::int64_t nanoseconds) {
      event("{{{},\"id\":{},\"name\":\"dependency\",\"cat\":\"dependency\",\"pid\":{},\"tid\":{}", phase, number,
            lane.device, thread_of_[at(id)]);
      put_time("ts", nanoseconds);
      put("}}");
    };
    end_of_arrow("\"ph\":\"s\"", from_lane, from, last);
    end_of_arrow("\"ph\":\"f\",\"bp\":\"e\"", to_lane, to, first);
    ++number;
  }
}

}  // namespace

void write_chrome_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                        const ChromeTraceOptions& options) {
  Writer(graph, timeline, out, options).write();
}

}  // namespace foretrain::sim
