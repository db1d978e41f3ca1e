#include "planner/report_timeline.h"

#include <algorithm>

#include <fmt/format.h>

namespace foretrain {
namespace {

constexpr std::size_t kFewestStages = 4;
constexpr std::int64_t kPicosecondsInMicrosecond = 1'000'000;

std::int64_t microseconds_of(TimePoint t) { return (t.ps + kPicosecondsInMicrosecond / 2) / kPicosecondsInMicrosecond; }

/// [lane] its slices in order of time.
std::vector<std::vector<ReportSlice>> slices_of(const sim::TaskGraph& graph, const sim::Timeline& timeline) {
  std::vector<std::vector<ReportSlice>> slices(graph.lanes().size());
  for (sim::TaskId id = 0; id < graph.task_count(); ++id) {
    const std::size_t i = static_cast<std::size_t>(id);
    const std::int64_t start = microseconds_of(timeline.start[i]), end = microseconds_of(timeline.end[i]);
    if (start == end) continue;
    const sim::TaskSpec task = graph.task(id);
    slices[static_cast<std::size_t>(task.lane)].push_back({start, end, task.label, task.index});
  }
  return slices;
}

/// `count` of `all` things, first and last among them, evenly.
std::vector<std::size_t> evenly(std::size_t all, std::size_t count) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(count == 1 ? 0 : i * (all - 1) / (count - 1));
  return chosen;
}

class Chooser {
 public:
  Chooser(const sim::TaskGraph& graph, const sim::Timeline& timeline, std::size_t most)
      : graph_(graph), slices_(slices_of(graph, timeline)), most_(most) {
    t_.makespan = microseconds_of(TimePoint{} + timeline.makespan);
    name_slices();
    for (std::size_t d = 0; d < graph.devices().size(); ++d) devices_.push_back(d);
  }

  ReportTimeline run() {
    t_.note = "Each stage stands for the GPUs that behave as it does.";
    leave_out_host();
    leave_out_stages();
    leave_out_middle();
    for (const std::size_t d : devices_) add_stage(d);
    return std::move(t_);
  }

 private:
  /// Labels of one name (the passes of many chunks) are one name.
  void name_slices() {
    std::vector<std::int32_t> name_of;  // [label]
    for (const sim::Label& label : graph_.labels()) {
      const auto known = std::find(t_.names.begin(), t_.names.end(), label.name);
      name_of.push_back(static_cast<std::int32_t>(known - t_.names.begin()));
      if (known == t_.names.end()) t_.names.push_back(label.name);
    }
    for (std::vector<ReportSlice>& lane : slices_)
      for (ReportSlice& s : lane) s.name = name_of[static_cast<std::size_t>(s.name)];
  }

  [[nodiscard]] bool shown(std::size_t lane) const {
    const sim::Lane& l = graph_.lanes()[lane];
    return !slices_[lane].empty() && std::find(devices_.begin(), devices_.end(), l.device) != devices_.end();
  }
  [[nodiscard]] std::size_t count() const {
    std::size_t sum = 0;
    for (std::size_t l = 0; l < slices_.size(); ++l) sum += shown(l) ? slices_[l].size() : 0;
    return sum;
  }

  void leave_out_host() {
    if (count() <= most_) return;
    for (std::size_t l = 0; l < slices_.size(); ++l)
      if (graph_.lanes()[l].kind == sim::LaneKind::host) slices_[l].clear();
    t_.note += " Launches on the host are left out.";
  }

  void leave_out_stages() {
    const std::size_t all = devices_.size();
    while (count() > most_ && devices_.size() > kFewestStages)
      devices_ = evenly(all, std::max(kFewestStages, devices_.size() / 2));
    if (devices_.size() < all) t_.note += fmt::format(" {} of {} stages are shown.", devices_.size(), all);
  }

  /// Keeps as long a beginning and as long an end as the budget has room for.
  void leave_out_middle() {
    if (count() <= most_) return;
    const auto kept_with = [&](std::int64_t edge) {
      std::size_t kept = 0;
      for (std::size_t l = 0; l < slices_.size(); ++l)
        if (shown(l))
          for (const ReportSlice& s : slices_[l]) kept += s.end <= edge || s.start >= t_.makespan - edge ? 1 : 0;
      return kept;
    };
    std::int64_t low = 0, high = t_.makespan / 2;
    while (low + 1 < high) {
      const std::int64_t middle = (low + high) / 2;
      (kept_with(middle) <= most_ ? low : high) = middle;
    }
    const auto not_drawn = static_cast<std::int32_t>(t_.names.size());
    t_.names.emplace_back("not drawn");
    for (std::vector<ReportSlice>& lane : slices_) cut_middle(lane, low, t_.makespan - low, not_drawn);
    t_.note += " The middle of the step, in which its pattern repeats, is not drawn; --trace writes all of it.";
  }

  /// One slice in place of those that neither end by `from` nor start after `to`.
  static void cut_middle(std::vector<ReportSlice>& lane, std::int64_t from, std::int64_t to, std::int32_t name) {
    std::vector<ReportSlice> kept;
    bool cut = false;
    for (const ReportSlice& s : lane) {
      if (s.end <= from || s.start >= to) {
        kept.push_back(s);
      } else if (cut) {
        kept.back().end = s.end;
      } else {
        kept.push_back({s.start, s.end, name, sim::kNone});
        cut = true;
      }
    }
    lane = std::move(kept);
  }

  void add_stage(std::size_t device) {
    const sim::Device& d = graph_.devices()[device];
    ReportStage stage{.name = d.name, .alike = d.multiplicity, .lanes = {}};
    for (std::size_t l = 0; l < slices_.size(); ++l)
      if (static_cast<std::size_t>(graph_.lanes()[l].device) == device && !slices_[l].empty())
        stage.lanes.push_back({graph_.lanes()[l].name, std::move(slices_[l])});
    t_.stages.push_back(std::move(stage));
  }

  const sim::TaskGraph& graph_;
  std::vector<std::vector<ReportSlice>> slices_;  // [lane]
  std::vector<std::size_t> devices_;              // shown
  std::size_t most_;
  ReportTimeline t_;
};

}  // namespace

ReportTimeline report_timeline(const sim::TaskGraph& graph, const sim::Timeline& timeline, std::size_t most_slices) {
  return Chooser(graph, timeline, most_slices).run();
}

}  // namespace foretrain
