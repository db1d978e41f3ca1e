#include "sim/task_graph.h"

#include <algorithm>

#include "base/check.h"

namespace foretrain::sim {
namespace {

template <class T>
bool is_index(std::int32_t id, const std::vector<T>& of) {
  return id >= 0 && static_cast<std::size_t>(id) < of.size();
}

template <class T>
std::int32_t last_index(const std::vector<T>& of) {
  return static_cast<std::int32_t>(of.size()) - 1;
}

/// The index of `name` in `names`, where it is appended when new. Tables are short: a scan is fast.
std::int32_t index_of_name(std::vector<std::string>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<std::int32_t>(found - names.begin());
  names.emplace_back(name);
  return last_index(names);
}

}  // namespace

DeviceId TaskGraph::add_device(Device device) {
  FORETRAIN_CHECK(device.multiplicity >= 1);
  devices_.push_back(std::move(device));
  return last_index(devices_);
}

LaneId TaskGraph::add_lane(Lane lane) {
  FORETRAIN_CHECK(is_index(lane.device, devices_));
  FORETRAIN_CHECK(lane.wait_label == kNone || is_index(lane.wait_label, labels_));
  lanes_.push_back(std::move(lane));
  return last_index(lanes_);
}

std::int32_t TaskGraph::part(std::string_view name) { return index_of_name(parts_, name); }

LabelId TaskGraph::add_label(Label label) {
  double sum = 0;
  for (const LabelPart& part : label.parts) {
    FORETRAIN_CHECK(is_index(part.part, parts_) && part.fraction >= 0);
    sum += part.fraction;
  }
  FORETRAIN_CHECK(!label.parts.empty() && sum > 1 - 1e-9 && sum < 1 + 1e-9);
  labels_.push_back(std::move(label));
  return last_index(labels_);
}

LinkId TaskGraph::add_link(Link link) {
  FORETRAIN_CHECK(link.capacity.base() > 0);
  links_.push_back(std::move(link));
  return last_index(links_);
}

RouteId TaskGraph::add_route(std::vector<LinkUse> uses) {
  for (const LinkUse& use : uses) FORETRAIN_CHECK(is_index(use.link, links_) && use.weight > 0);
  const auto begin = static_cast<std::int32_t>(uses_.size());
  uses_.insert(uses_.end(), uses.begin(), uses.end());
  routes_.emplace_back(begin, static_cast<std::int32_t>(uses_.size()));
  return last_index(routes_);
}

MemoryLabelId TaskGraph::memory_label(std::string_view name) { return index_of_name(memory_labels_, name); }

void TaskGraph::add_static_memory(DeviceId device, MemoryLabelId label, std::int64_t bytes) {
  FORETRAIN_CHECK(is_index(device, devices_) && is_index(label, memory_labels_));
  static_memory_.push_back({device, label, bytes});
}

void TaskGraph::reserve(std::size_t tasks, std::size_t dependencies) {
  for (std::vector<std::int32_t>* column : {&lane_of_, &label_of_, &flow_of_, &index_of_, &part_of_, &payload_of_})
    column->reserve(tasks);
  duration_.reserve(tasks);
  dependencies_.reserve(dependencies);
}

TaskId TaskGraph::add_task(const TaskSpec& spec) {
  FORETRAIN_CHECK(is_index(spec.lane, lanes_) && is_index(spec.label, labels_));
  FORETRAIN_CHECK(spec.duration.count >= 0 && spec.flow.base() >= 0 && spec.rate_limit.base() >= 0);
  const auto id = static_cast<TaskId>(lane_of_.size());
  lane_of_.push_back(spec.lane);
  label_of_.push_back(spec.label);
  duration_.push_back(spec.duration);
  index_of_.push_back(spec.index);
  part_of_.push_back(spec.part);
  payload_of_.push_back(spec.payload);
  if (spec.flow.base() > 0) {
    FORETRAIN_CHECK(spec.route == kNone || is_index(spec.route, routes_));
    FORETRAIN_CHECK(spec.rate_limit.base() > 0 || !route(spec.route).empty());
    flow_of_.push_back(static_cast<std::int32_t>(flows_.size()));
    flows_.push_back({id, spec.flow, spec.rate_limit, spec.route});
  } else {
    flow_of_.push_back(kNone);
  }
  return id;
}

void TaskGraph::add_dependency(TaskId before, TaskId after) {
  FORETRAIN_CHECK(before >= 0 && after >= 0);
  dependencies_.emplace_back(before, after);
}

void TaskGraph::add_memory_effect(MemoryEffect effect) {
  FORETRAIN_CHECK(effect.task >= 0 && is_index(effect.label, memory_labels_));
  memory_effects_.push_back(effect);
}

std::span<const LinkUse> TaskGraph::route(RouteId id) const {
  if (id == kNone) return {};
  const auto [begin, end] = routes_[static_cast<std::size_t>(id)];
  return {uses_.data() + begin, static_cast<std::size_t>(end - begin)};
}

std::vector<std::vector<std::int64_t>> TaskGraph::static_memory() const {
  std::vector<std::vector<std::int64_t>> held(devices_.size(), std::vector<std::int64_t>(memory_labels_.size(), 0));
  for (const StaticMemory& m : static_memory_)
    held[static_cast<std::size_t>(m.device)][static_cast<std::size_t>(m.label)] += m.bytes;
  return held;
}

TaskSpec TaskGraph::task(TaskId id) const {
  const auto i = static_cast<std::size_t>(id);
  TaskSpec spec{.lane = lane_of_[i],
                .label = label_of_[i],
                .duration = duration_[i],
                .flow = {},
                .rate_limit = {},
                .route = kNone,
                .index = index_of_[i],
                .part = part_of_[i],
                .payload = payload_of_[i]};
  if (flow_of_[i] != kNone) {
    const TaskFlow& flow = flows_[static_cast<std::size_t>(flow_of_[i])];
    spec.flow = flow.size;
    spec.rate_limit = flow.rate_limit;
    spec.route = flow.route;
  }
  return spec;
}

}  // namespace foretrain::sim
