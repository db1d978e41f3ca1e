#include "sim/trace_content.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

std::int64_t nanoseconds_of(TimePoint t) { return (t.ps + 500) / 1000; }

}  // namespace

TraceContent::TraceContent(const TaskGraph& graph, const Timeline& timeline, const TraceOptions& options)
    : graph_(graph), timeline_(timeline), options_(options), static_memory_(graph.static_memory()) {
  shown_.assign(graph.devices().size(), options.devices.empty() ? 1 : 0);
  for (const DeviceId d : options.devices) shown_[at(d)] = 1;
  std::vector<std::int32_t> lanes_of_device(graph.devices().size(), 0);
  for (const Lane& lane : graph.lanes()) thread_of_.push_back(lanes_of_device[at(lane.device)]++);
  collect_names();
  collect_arrows();
  collect_memory();
  collect_links();
}

std::int64_t TraceContent::start_of(TaskId task) const { return nanoseconds_of(timeline_.start[at(task)]); }
std::int64_t TraceContent::end_of(TaskId task) const { return nanoseconds_of(timeline_.end[at(task)]); }
std::int64_t TraceContent::end() const { return nanoseconds_of(TimePoint{} + timeline_.makespan); }

void TraceContent::collect_names() {
  std::map<std::string, std::size_t> known;
  const auto number = [&](const std::string& name) {
    const auto [entry, is_new] = known.try_emplace(name, names_.size());
    if (is_new) names_.push_back(name);
    return entry->second;
  };
  for (const Label& label : graph_.labels()) label_names_.push_back(number(label.name));
  for (const std::string& name : options_.payload_names) payload_names_.push_back(number(name));
}

bool TraceContent::is_named_by_payload(const TaskSpec& task) const {
  return task.payload != kNone && at(task.payload) < payload_names_.size();
}

std::size_t TraceContent::name_of(const TaskSpec& task) const {
  return is_named_by_payload(task) ? payload_names_[at(task.payload)] : label_names_[at(task.label)];
}

void TraceContent::collect_arrows() {
  for (const auto& [before, after] : graph_.dependencies()) {
    const Lane& from = graph_.lanes()[at(graph_.lane_of(before))];
    const Lane& to = graph_.lanes()[at(graph_.lane_of(after))];
    if (from.device == to.device || !shows(from.device) || !shows(to.device)) continue;
    if (from.kind != LaneKind::communication && to.kind != LaneKind::communication) continue;
    if (start_of(before) == end_of(before) || start_of(after) == end_of(after)) continue;
    arrows_.push_back({before, after});
  }
}

void TraceContent::collect_memory() {
  memory_.resize(graph_.devices().size());
  for (const MemoryEffect& effect : graph_.memory_effects()) {
    const DeviceId device = graph_.device_of(effect.task);
    if (!shows(device)) continue;
    const TimePoint time = effect.at_end ? timeline_.end[at(effect.task)] : timeline_.start[at(effect.task)];
    memory_[at(device)].push_back({time, effect.label, effect.bytes});
  }
  for (std::vector<MemoryChange>& own : memory_)
    std::stable_sort(own.begin(), own.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
}

void TraceContent::visit_memory(DeviceId device,
                                const std::function<void(std::int64_t, std::span<const std::int64_t>)>& visit) const {
  if (graph_.memory_labels().empty()) return;
  const std::vector<MemoryChange>& own = memory_[at(device)];
  std::vector<std::int64_t> level = static_memory_[at(device)];
  if (own.empty() || nanoseconds_of(own.front().time) > 0) visit(0, level);
  for (std::size_t i = 0; i < own.size(); ++i) {
    level[at(own[i].label)] += own[i].bytes;
    const std::int64_t now = nanoseconds_of(own[i].time);
    if (i + 1 == own.size() || nanoseconds_of(own[i + 1].time) > now) visit(now, level);
  }
  if (own.empty() || nanoseconds_of(own.back().time) < end()) visit(end(), level);
}

/// Rates are rounded to whole bytes per second for each flow and link, so that a link that nothing uses shows zero.
void TraceContent::collect_links() {
  links_.resize(graph_.links().size());
  link_shown_.assign(graph_.links().size(), 0);
  if (timeline_.rate_changes.empty()) return;
  std::vector<double> rates(graph_.flows().size(), 0);  // [flow] now
  const auto change = [&](TaskId task, TimePoint time, double rate) {
    const std::size_t flow = at(graph_.flow_of(task));
    for (const LinkUse& use : graph_.route(graph_.flows()[flow].route)) {
      const std::int64_t more = std::llround(use.weight * rate) - std::llround(use.weight * rates[flow]);
      if (more != 0) links_[at(use.link)].push_back({time, more});
      if (shows_task(task)) link_shown_[at(use.link)] = 1;
    }
    rates[flow] = rate;
  };
  for (const RateChange& r : timeline_.rate_changes) change(r.task, r.time, r.rate.base());
  for (const TaskFlow& flow : graph_.flows()) change(flow.task, timeline_.end[at(flow.task)], 0);
  for (std::vector<LinkChange>& own : links_)
    std::stable_sort(own.begin(), own.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
}

std::vector<LinkId> TraceContent::links() const {
  std::vector<LinkId> shown;
  for (std::size_t l = 0; l < link_shown_.size(); ++l)
    if (link_shown_[l] != 0) shown.push_back(static_cast<LinkId>(l));
  return shown;
}

void TraceContent::visit_link(LinkId link, const std::function<void(std::int64_t, std::int64_t)>& visit) const {
  const std::vector<LinkChange>& own = links_[at(link)];
  std::int64_t rate = 0, shown = 0;
  if (own.empty() || nanoseconds_of(own.front().time) > 0) visit(0, 0);
  for (std::size_t i = 0; i < own.size(); ++i) {
    rate += own[i].rate;
    const std::int64_t now = nanoseconds_of(own[i].time);
    if (i + 1 < own.size() && nanoseconds_of(own[i + 1].time) == now) continue;
    if (rate != shown || now == 0) visit(now, rate);
    shown = rate;
  }
}

}  // namespace foretrain::sim
