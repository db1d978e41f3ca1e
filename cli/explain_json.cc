#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "cli/explain_text.h"

namespace foretrain::cli {
namespace {

using Json = nlohmann::ordered_json;

double number(Picoseconds time) { return to_seconds(time).base(); }

Json plan_json(const Plan& plan) { return parse_json(to_json(plan), "plan"); }

/// Integers that close (picoseconds, bytes) as they are.
Json contrast_json(const Contrast& c, double unit) {
  Json rows = Json::object();
  const auto value = [&](std::int64_t count) {
    return unit == 1 ? Json(count) : Json(static_cast<double>(count) * unit);
  };
  for (const ContrastRow& row : c.rows)
    rows[row.label] = {{"plan", value(row.own)}, {"against", value(row.other)}, {"difference", value(row.more())}};
  return rows;
}

Json labels_json(const std::vector<ChainLabel>& labels) {
  Json all = Json::array();
  for (const ChainLabel& label : labels)
    all.push_back({{"label", label.label}, {"tasks", label.tasks}, {"seconds", number(label.time)}});
  return all;
}

Json chain_json(const Explanation& e) {
  constexpr std::size_t most_links = 65;
  Json links = Json::array();
  for (const ChainLink& link : joined(e.chain.links, most_links))
    links.push_back({{"first_stage", link.first_device},
                     {"last_stage", link.last_device},
                     {"start_seconds", number(link.start - TimePoint{})},
                     {"seconds", number(link.time)},
                     {"labels", labels_json(link.labels)}});
  return {{"seconds", number(e.chain_time)}, {"labels", labels_json(e.chain.labels)}, {"links", links}};
}

Json elasticities_json(const Explanation& e) {
  Json all = Json::object();
  for (const Elasticity& one : e.elasticities) {
    Json entry = {{"step_change", one.change}};
    if (one.resource == Resource::memory) entry["searched_again"] = e.searched_again;
    if (one.replanned) entry["replanned"] = plan_json(*one.replanned);
    all[std::string(name_of(one.resource))] = entry;
  }
  return all;
}

Json to_win_json(const Explanation& e) {
  Json all = Json::array();
  for (const BreakEven& b : e.break_evens) {
    Json entry = {{"change", name_of(b.resource)}, {"factor", b.factor}, {"faster_seconds", b.other.base()}};
    if (b.resource != Resource::memory) entry["slower_seconds"] = b.own.base();  // with less memory it does not fit
    all.push_back(entry);
  }
  for (const OtherSize& size : e.other_sizes)
    all.push_back({{"change", size.what},
                   {"value", size.value},
                   {"faster_seconds", size.other.base()},
                   {"slower_seconds", size.own.base()}});
  return all;
}

Json troubles_json(const Explanation& e) {
  Json all = Json::array();
  for (const Trouble& t : e.troubles) {
    Json entry = {{"name", t.name},
                  {"what", t.what},
                  {"cost_seconds", t.cost.base()},
                  {"cost_share", t.cost / e.report.step},
                  {"counted", t.counted},
                  {"remedy", t.remedy}};
    if (t.instead) {
      entry["instead"] = plan_json(*t.instead);
      entry["instead_step_seconds"] = t.instead_step.base();
    }
    all.push_back(entry);
  }
  return all;
}

Json search_json(const PlanFile& file) {
  Json rejected = Json::object();
  for (const auto& entry : file.rejected) rejected[entry.first] = entry.second;
  return {{"considered", file.considered},       {"rejected", rejected},
          {"cut_by_bound", file.cut_by_bound},   {"simulated", file.simulated},
          {"stopped_early", file.stopped_early}, {"left_out", file.left_out}};
}

}  // namespace

std::string explain_json(const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  Json document = {{"plan", x.plan}};
  Json step = {{"plan", e.report.step.base()}};
  if (e.time) {
    document["against"] = x.against;
    step["against"] = e.against->step.base();
    step["difference"] = (e.against->step - e.report.step).base();
  }
  document["step_seconds"] = step;
  if (e.time) {
    document["time"] = contrast_json(*e.time, 1e-12);
    document["time_picoseconds"] = contrast_json(*e.time, 1);
    document["memory"] = contrast_json(*e.memory, 1);
  }
  if (e.report.step.base() > 0) {
    document["critical_path"] = chain_json(e);
    document["one_percent_more"] = elasticities_json(e);
    document["slower_plan_wins_with"] = to_win_json(e);
    document["troubles"] = troubles_json(e);
  }
  document["search"] = search_json(x.file);
  if (x.nearest_miss)
    document["nearest_miss"] = {{"plan", plan_json(x.nearest_miss->plan)},
                                {"lacks_bytes", (x.nearest_miss->peak_memory - x.nearest_miss->memory_limit).base()},
                                {"step_seconds_if_it_fitted", x.nearest_miss->step.base()}};
  return document.dump(2) + "\n";
}

}  // namespace foretrain::cli
