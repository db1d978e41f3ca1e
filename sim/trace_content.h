/// What a trace shows of a timeline, whatever the format: names, instants, memory and link levels, arrows.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/timeline.h"

namespace foretrain::sim {

struct TraceOptions {
  std::string index_name = "micro_batch";                          ///< how slices call TaskSpec::index
  std::string part_name = "chunk";                                 ///< and TaskSpec::part
  std::vector<std::pair<std::string, std::string>> metadata = {};  ///< shown with the trace: {"plan", "tp 8 pp 4"}
  /// [TaskSpec::payload] names of slices; tasks without a payload are called as their label.
  std::vector<std::string> payload_names = {};
  std::vector<DeviceId> devices = {};  ///< the devices shown, ascending; empty = all
};

/// `before` is waited for by `after`, on another device, and one of the two is communication.
struct TraceArrow {
  TaskId before = kNone, after = kNone;
};

/// Instants are whole nanoseconds; they are rounded before durations are taken, so slices that follow each other never
/// overlap. Graph, timeline and options must outlive it.
class TraceContent {
 public:
  TraceContent(const TaskGraph& graph, const Timeline& timeline, const TraceOptions& options);

  [[nodiscard]] bool shows(DeviceId device) const { return shown_[static_cast<std::size_t>(device)] != 0; }
  [[nodiscard]] bool shows_task(TaskId task) const { return shows(graph_.device_of(task)); }
  /// A lane's number within its device.
  [[nodiscard]] std::int32_t thread_of(LaneId lane) const { return thread_of_[static_cast<std::size_t>(lane)]; }
  [[nodiscard]] std::int64_t start_of(TaskId task) const;
  [[nodiscard]] std::int64_t end_of(TaskId task) const;
  [[nodiscard]] std::int64_t end() const;

  /// Names of slices, each once.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] std::size_t name_of(const TaskSpec& task) const;
  [[nodiscard]] bool is_named_by_payload(const TaskSpec& task) const;

  /// Between shown devices, in the order of the dependencies; not between tasks that last no nanosecond, as nothing
  /// could hold their ends.
  [[nodiscard]] const std::vector<TraceArrow>& arrows() const { return arrows_; }

  /// Calls visit(nanoseconds, bytes [memory label]) at the beginning, at each nanosecond at which the device's memory
  /// changes, and at the end.
  void visit_memory(DeviceId device,
                    const std::function<void(std::int64_t, std::span<const std::int64_t>)>& visit) const;

  /// Links that tasks of shown devices use, where the timeline holds rates.
  [[nodiscard]] std::vector<LinkId> links() const;
  /// Calls visit(nanoseconds, bytes per second) at the beginning and at each nanosecond at which the link's use
  /// changes.
  void visit_link(LinkId link, const std::function<void(std::int64_t, std::int64_t)>& visit) const;

 private:
  struct MemoryChange {
    TimePoint time;
    MemoryLabelId label;
    std::int64_t bytes;
  };
  struct LinkChange {
    TimePoint time;
    std::int64_t rate;  ///< more than before, bytes per second
  };
  void collect_names();
  void collect_arrows();
  void collect_memory();
  void collect_links();

  const TaskGraph& graph_;
  const Timeline& timeline_;
  const TraceOptions& options_;
  std::vector<char> shown_;              // [device]
  std::vector<std::int32_t> thread_of_;  // [lane]
  std::vector<std::string> names_;
  std::vector<std::size_t> label_names_, payload_names_;  // [label], [payload] index in names_
  std::vector<TraceArrow> arrows_;
  std::vector<std::vector<std::int64_t>> static_memory_;  // [device][memory label]
  std::vector<std::vector<MemoryChange>> memory_;         // [device] in order of time
  std::vector<std::vector<LinkChange>> links_;            // [link] in order of time
  std::vector<char> link_shown_;                          // [link]
};

inline constexpr std::array<std::string_view, 4> kLaneKindNames = {"host", "compute", "communication", "copy"};

}  // namespace foretrain::sim
