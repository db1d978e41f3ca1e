/// The task graph: what happens in a step, on which lane, after what, with which effect on memory and links.
///
/// It knows devices, lanes, links and labels, and nothing of models. Lanes are in-order queues, like CUDA streams:
/// a lane runs its tasks one at a time, in the order in which they were added.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time_point.h"
#include "base/units.h"

namespace foretrain::sim {

using TaskId = std::int32_t;
using DeviceId = std::int32_t;  ///< a simulated rank (folded: one for all that behave alike)
using LaneId = std::int32_t;
using LabelId = std::int32_t;
using LinkId = std::int32_t;
using RouteId = std::int32_t;
using MemoryLabelId = std::int32_t;
inline constexpr std::int32_t kNone = -1;

enum class LaneKind : std::uint8_t { host, compute, communication, copy };

struct Device {
  std::string name;               ///< "stage 0"
  std::int64_t multiplicity = 1;  ///< how many real ranks this one stands for
};
struct Lane {
  std::string name;  ///< "compute", "data parallel"
  DeviceId device = 0;
  LaneKind kind = LaneKind::compute;
  /// A gap on another lane that waits for this one counts as this label ("data_exposed").
  LabelId wait_label = kNone;
};
/// One share of a label: `part` is an index into TaskGraph::parts().
struct LabelPart {
  std::int32_t part = 0;
  double fraction = 1;  ///< of the task's time; fractions of a label sum to 1
};
/// What a task's time is spent on. A composite task (a layer's forward pass) has several parts.
struct Label {
  std::string name;  ///< shown on the timeline: "forward"
  std::vector<LabelPart> parts;
};
struct Link {
  std::string name;         ///< "stage 0 nic"
  BytesPerSecond capacity;  ///< one direction
};
/// A flow with rate r (bytes/s) takes weight * r of the link's capacity.
struct LinkUse {
  LinkId link = 0;
  double weight = 1;
};
/// `bytes` are gained (or freed, when negative) when the task starts or ends.
struct MemoryEffect {
  TaskId task = 0;
  MemoryLabelId label = 0;
  bool at_end = false;
  std::int64_t bytes = 0;
};

/// A task to add. It takes `duration`, and then moves `flow` bytes over `route` at no more than `rate_limit`.
/// No flow when `flow` is 0. A rate limit of 0 is none, and then the route must use a link.
struct TaskSpec {
  LaneId lane = 0;
  LabelId label = 0;
  Picoseconds duration{};
  Bytes flow{};
  BytesPerSecond rate_limit{};
  RouteId route = kNone;
  std::int32_t index = kNone;    ///< which repetition (micro-batch); shown in the trace
  std::int32_t part = kNone;     ///< which part (chunk, layer); shown in the trace
  std::int32_t payload = kNone;  ///< caller's own table: the kernel or collective to execute for real
};

/// The bytes a task moves once its duration has passed.
struct TaskFlow {
  TaskId task = 0;
  Bytes size;
  BytesPerSecond rate_limit;  ///< 0: none
  RouteId route = kNone;
};

/// Its add_* functions check that every id they are given exists (a wrong one is our bug).
class TaskGraph {
 public:
  DeviceId add_device(Device device);
  LaneId add_lane(Lane lane);
  /// The index of the named part, made when it is new ("compute", "tensor_exposed").
  std::int32_t part(std::string_view name);
  LabelId add_label(Label label);
  LinkId add_link(Link link);
  RouteId add_route(std::vector<LinkUse> uses);
  MemoryLabelId memory_label(std::string_view name);
  /// Memory that is there from the beginning to the end.
  void add_static_memory(DeviceId device, MemoryLabelId label, std::int64_t bytes);

  void reserve(std::size_t tasks, std::size_t dependencies);
  TaskId add_task(const TaskSpec& spec);
  /// `after` starts no earlier than `before` ends. `before` may have been added later than `after`: cycles are found by
  /// simulate().
  void add_dependency(TaskId before, TaskId after);
  void add_memory_effect(MemoryEffect effect);

  [[nodiscard]] std::int32_t task_count() const { return static_cast<std::int32_t>(lane_of_.size()); }
  [[nodiscard]] const std::vector<Device>& devices() const { return devices_; }
  [[nodiscard]] const std::vector<Lane>& lanes() const { return lanes_; }
  [[nodiscard]] const std::vector<std::string>& parts() const { return parts_; }
  [[nodiscard]] const std::vector<Label>& labels() const { return labels_; }
  [[nodiscard]] const std::vector<Link>& links() const { return links_; }
  [[nodiscard]] std::span<const LinkUse> route(RouteId id) const;
  [[nodiscard]] const std::vector<std::string>& memory_labels() const { return memory_labels_; }
  [[nodiscard]] const std::vector<MemoryEffect>& memory_effects() const { return memory_effects_; }
  /// [device][memory label], bytes.
  [[nodiscard]] std::vector<std::vector<std::int64_t>> static_memory() const;
  [[nodiscard]] TaskSpec task(TaskId id) const;
  [[nodiscard]] LaneId lane_of(TaskId id) const { return lane_of_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] LabelId label_of(TaskId id) const { return label_of_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Picoseconds duration_of(TaskId id) const { return duration_[static_cast<std::size_t>(id)]; }
  /// Index into flows(), or kNone when the task moves nothing.
  [[nodiscard]] std::int32_t flow_of(TaskId id) const { return flow_of_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const std::vector<TaskFlow>& flows() const { return flows_; }
  [[nodiscard]] DeviceId device_of(TaskId id) const { return lanes_[static_cast<std::size_t>(lane_of(id))].device; }
  [[nodiscard]] const std::vector<std::pair<TaskId, TaskId>>& dependencies() const { return dependencies_; }

 private:
  struct StaticMemory {
    DeviceId device;
    MemoryLabelId label;
    std::int64_t bytes;
  };
  std::vector<Device> devices_;
  std::vector<Lane> lanes_;
  std::vector<std::string> parts_;
  std::vector<Label> labels_;
  std::vector<Link> links_;
  std::vector<LinkUse> uses_;
  std::vector<std::pair<std::int32_t, std::int32_t>> routes_;  // [begin, end) in uses_
  std::vector<std::string> memory_labels_;
  std::vector<StaticMemory> static_memory_;
  std::vector<LaneId> lane_of_;
  std::vector<LabelId> label_of_;
  std::vector<Picoseconds> duration_;
  std::vector<std::int32_t> flow_of_;  // index into flows_, or kNone
  std::vector<TaskFlow> flows_;
  std::vector<std::int32_t> index_of_, part_of_, payload_of_;
  std::vector<std::pair<TaskId, TaskId>> dependencies_;
  std::vector<MemoryEffect> memory_effects_;
};

}  // namespace foretrain::sim
