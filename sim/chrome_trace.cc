#include "sim/chrome_trace.h"

#include <iterator>
#include <ostream>
#include <string_view>

#include <fmt/format.h>

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

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
  Writer(const TaskGraph& graph, const Timeline& timeline, std::ostream& out, const TraceOptions& options)
      : graph_(graph), content_(graph, timeline, options), out_(out), options_(options) {}

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

  void name_processes_and_threads();
  [[nodiscard]] std::int64_t shown_end(TaskId task) const;
  void find_followers();
  void write_slices();
  void write_memory();
  void write_links();
  void write_arrows();

  static constexpr std::size_t kFlushAt = 1 << 16;
  const TaskGraph& graph_;
  TraceContent content_;
  std::ostream& out_;
  const TraceOptions& options_;
  fmt::memory_buffer text_;
  bool first_ = true;
  std::vector<char> is_followed_;  ///< [task] the next slice of its thread begins where it ends
};

void Writer::write() {
  put("{{\"displayTimeUnit\":\"ms\",\"otherData\":{{");
  for (std::size_t i = 0; i < options_.metadata.size(); ++i)
    put("{}{}:{}", i == 0 ? "" : ",", quoted(options_.metadata[i].first), quoted(options_.metadata[i].second));
  put("}},\"traceEvents\":[");
  name_processes_and_threads();
  find_followers();
  write_slices();
  write_memory();
  write_links();
  write_arrows();
  put("\n]}}\n");
  flush();
}

void Writer::name_processes_and_threads() {
  for (std::size_t d = 0; d < graph_.devices().size(); ++d) {
    if (!content_.shows(static_cast<DeviceId>(d))) continue;
    const Device& device = graph_.devices()[d];
    event("{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":{}}}}}", d, quoted(device.name));
    event("{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":{},\"args\":{{\"sort_index\":{}}}}}", d, d);
    if (device.multiplicity > 1)
      event("{{\"ph\":\"M\",\"name\":\"process_labels\",\"pid\":{},\"args\":{{\"labels\":\"one of {} alike\"}}}}", d,
            device.multiplicity);
  }
  for (std::size_t l = 0; l < graph_.lanes().size(); ++l) {
    const Lane& lane = graph_.lanes()[l];
    if (!content_.shows(lane.device)) continue;
    const std::int32_t number = content_.thread_of(static_cast<LaneId>(l));
    event("{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":{}}}}}", lane.device,
          number, quoted(lane.name));
    event("{{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":{},\"tid\":{},\"args\":{{\"sort_index\":{}}}}}",
          lane.device, number, number);
  }
}

void Writer::find_followers() {
  std::vector<TaskId> last(graph_.lanes().size(), kNone);
  is_followed_.assign(at(graph_.task_count()), 0);
  for (TaskId id = 0; id < graph_.task_count(); ++id) {
    TaskId& before = last[at(graph_.lane_of(id))];
    if (before != kNone && content_.end_of(before) == content_.start_of(id)) is_followed_[at(before)] = 1;
    before = id;
  }
}

/// A nanosecond less where another slice follows at once: readers add `ts` and `dur` as doubles (34209.976 + 1710.499 =
/// 35920.475000000006), and must not find the slice to end in the one that follows.
std::int64_t Writer::shown_end(TaskId task) const {
  const std::int64_t end = content_.end_of(task);
  return is_followed_[at(task)] != 0 && end - content_.start_of(task) > 1 ? end - 1 : end;
}

void Writer::write_slices() {
  std::vector<std::string> names, labels, shares;  // [name], [label], [label]
  for (const std::string& name : content_.names()) names.push_back(quoted(name));
  for (const Label& label : graph_.labels()) {
    labels.push_back(quoted(label.name));
    std::string share;
    for (const LabelPart& part : label.parts)
      share += fmt::format("{}{}:{}", share.empty() ? "" : ",", quoted(graph_.parts()[at(part.part)]), part.fraction);
    shares.push_back(label.parts.size() > 1 ? fmt::format(",\"parts\":{{{}}}", share) : "");
  }
  const std::string index_key = quoted(options_.index_name), part_key = quoted(options_.part_name);
  for (TaskId id = 0; id < graph_.task_count(); ++id) {
    if (!content_.shows_task(id)) continue;
    const TaskSpec task = graph_.task(id);
    const Lane& lane = graph_.lanes()[at(task.lane)];
    const std::int64_t start = content_.start_of(id);
    event("{{\"ph\":\"X\",\"name\":{},\"cat\":\"{}\",\"pid\":{},\"tid\":{}", names[content_.name_of(task)],
          kLaneKindNames[static_cast<std::size_t>(lane.kind)], lane.device, content_.thread_of(task.lane));
    put_time("ts", start);
    put_time("dur", shown_end(id) - start);
    put(",\"args\":{{\"task\":{}", id);
    if (task.index != kNone) put(",{}:{}", index_key, task.index);
    if (task.part != kNone) put(",{}:{}", part_key, task.part);
    if (task.flow.base() > 0) put(",\"bytes\":{}", static_cast<std::int64_t>(task.flow.base()));
    if (content_.is_named_by_payload(task)) put(",\"label\":{}", labels[at(task.label)]);
    put("{}}}}}", shares[at(task.label)]);
  }
}

void Writer::write_memory() {
  for (std::size_t d = 0; d < graph_.devices().size(); ++d) {
    if (!content_.shows(static_cast<DeviceId>(d))) continue;
    content_.visit_memory(static_cast<DeviceId>(d), [&](std::int64_t time, std::span<const std::int64_t> level) {
      event("{{\"ph\":\"C\",\"name\":\"memory (bytes)\",\"pid\":{}", d);
      put_time("ts", time);
      for (std::size_t m = 0; m < level.size(); ++m)
        put("{}{}:{}", m == 0 ? ",\"args\":{" : ",", quoted(graph_.memory_labels()[m]), level[m]);
      put("}}}}");
    });
  }
}

/// A process of its own, after those of the devices.
void Writer::write_links() {
  const std::vector<LinkId> links = content_.links();
  const std::size_t network = graph_.devices().size();
  if (links.empty()) return;
  event("{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"args\":{{\"name\":\"network\"}}}}", network);
  event("{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":{},\"args\":{{\"sort_index\":{}}}}}", network, network);
  for (const LinkId link : links) {
    const std::string name = quoted(graph_.links()[at(link)].name + " (bytes/s)");
    content_.visit_link(link, [&](std::int64_t time, std::int64_t rate) {
      event("{{\"ph\":\"C\",\"name\":{},\"pid\":{}", name, network);
      put_time("ts", time);
      put(",\"args\":{{\"used\":{}}}}}", rate);
    });
  }
}

/// From the last nanosecond of the slice that was waited for (as shown) to the first of the one that waited.
void Writer::write_arrows() {
  const std::vector<TraceArrow>& arrows = content_.arrows();
  for (std::size_t i = 0; i < arrows.size(); ++i) {
    const auto end_of_arrow = [&](std::string_view phase, TaskId task, std::int64_t nanoseconds) {
      const LaneId lane = graph_.lane_of(task);
      event("{{{},\"id\":{},\"name\":\"dependency\",\"cat\":\"dependency\",\"pid\":{},\"tid\":{}", phase, i,
            graph_.lanes()[at(lane)].device, content_.thread_of(lane));
      put_time("ts", nanoseconds);
      put("}}");
    };
    end_of_arrow("\"ph\":\"s\"", arrows[i].before, shown_end(arrows[i].before) - 1);
    end_of_arrow("\"ph\":\"f\",\"bp\":\"e\"", arrows[i].after, content_.start_of(arrows[i].after));
  }
}

}  // namespace

void write_chrome_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                        const TraceOptions& options) {
  Writer(graph, timeline, out, options).write();
}

}  // namespace foretrain::sim
