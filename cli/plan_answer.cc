#include "cli/plan_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/plan_text.h"
#include "planner/advice.h"
#include "planner/contrast.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain::cli {
namespace {

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string change_text(double change) { return fmt::format("{:+.1f} %", 100 * change + 0.0); }

void add_winner(Page& page, const SearchResult& result) {
  const PlanReport& best = result.plans.front();
  if (result.stopped_early) page.line("Incomplete: the search was stopped; better plans may be left.", Ink::warn);
  page.line(fmt::format("Best {}of {}: {}. A step takes {}, {:.0f} tokens/s/GPU, MFU {:.1f} %; {} of {} are used.",
                        result.stopped_early ? "so far " : "", result.considered, to_text(best.plan),
                        step_and_interval(best), best.tokens_per_second_per_gpu, 100 * best.mfu,
                        to_text(best.peak_memory), to_text(best.memory_limit)),
            Ink::good);
}

void add_bounds(Page& page, const Problem& problem, const PlanReport& best) {
  std::vector<TimePart> parts = best.time;
  std::stable_sort(parts.begin(), parts.end(), [](const TimePart& a, const TimePart& b) { return a.time > b.time; });
  std::string text = "Bound by ";
  for (std::size_t i = 0; i < parts.size() && i < 3; ++i) {
    if (i > 0 && parts[i].time < kWorthNaming * best.step) break;
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", then ", parts[i].name, percent(parts[i].time / best.step));
  }
  std::vector<std::pair<double, Resource>> effects;
  for (const Resource r :
       {Resource::peak_flops, Resource::hbm_bandwidth, Resource::nvlink_bandwidth, Resource::nic_bandwidth})
    effects.emplace_back(outcome(scaled(problem, r, 1.01), best.plan).step / best.step - 1, r);
  std::stable_sort(effects.begin(), effects.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  text += ". 1 % more ";
  for (std::size_t i = 0; i < 2; ++i)
    text += fmt::format("{}{}: step {:+.2f} %", i == 0 ? "" : "; ", text_of(effects[i].second),
                        100 * effects[i].first + 0.0);
  page.line(text + ".");
}

void add_runner_up(Page& page, const Problem& problem, const SearchResult& result) {
  const PlanReport* second = runner_up(result);
  if (second == nullptr) return;
  const PlanReport& best = result.plans.front();
  const Contrast time = contrast_time(best, *second);
  std::vector<ContrastRow> more;
  for (const ContrastRow& row : time.rows)
    if (row.more() > 0) more.push_back(row);
  std::stable_sort(more.begin(), more.end(),
                   [](const ContrastRow& a, const ContrastRow& b) { return a.more() > b.more(); });
  const std::string slower = time.other > time.own
                                 ? "loses " + step_text(to_seconds(Picoseconds{time.other - time.own}))
                                 : std::string("is level");
  std::string why;
  for (std::size_t i = 0; i < more.size() && i < 2; ++i)
    why +=
        fmt::format("{}{} +{}", i == 0 ? "" : ", ", more[i].label, step_text(to_seconds(Picoseconds{more[i].more()})));
  const bool noise = problem.residuals != nullptr && within_noise(*problem.residuals, second->step, best.step);
  page.line(fmt::format("Runner-up: {} {} ({}{}){}.", to_text(second->plan), slower,
                        change_text(second->step / best.step - 1), noise ? ", within the noise" : "",
                        why.empty() ? "" : ": " + why));
}

void add_advice(Page& page, const Problem& problem, const PlanReport& best) {
  const std::vector<Advice> all = advice(problem, best);
  if (all.empty()) return;
  TextTable table{{"what to try", "step", "change", "tokens/s/GPU", "plan"}, {}, {false, true, true, true, false}};
  for (const Advice& a : all) {
    const bool same = to_text(a.plan) == to_text(best.plan);
    table.rows.push_back({a.change, step_text(a.step), change_text(a.step_change), change_text(a.per_gpu_change),
                          (same ? "" : to_text(a.plan) + ": ") + a.assumed});
  }
  page.blank().table(table);
  page.line("Simulated with plan 1 changed so, not searched again.", Ink::faint);
}

void add_troubles(Page& page, const Problem& problem, const PlanReport& best) {
  page.blank().line("Known troubles (costs overlap):", Ink::bold);
  const std::vector<Trouble> found = troubles(problem, evaluate_in_detail(problem, best.plan));
  if (found.empty()) page.line(fmt::format("  none of {}", trouble_kinds().size()));
  for (const Trouble& t : found) {
    const std::string cost = t.cost.base() > 0 ? step_text(t.cost) : "a risk";
    page.line(fmt::format("  {}: {}. {}. Try: {}.", t.name, cost, t.what, t.remedy), Ink::plain, 4);
  }
}

void add_elasticities(Page& page, const Problem& problem, const PlanReport& best) {
  TextTable table{{"1 % more", "step"}, {}, {false, true}};
  for (std::size_t i = 0; i < kResourceNames.size(); ++i) {
    const auto resource = static_cast<Resource>(i);
    if (resource == Resource::memory) continue;
    const double change = outcome(scaled(problem, resource, 1.01), best.plan).step / best.step - 1;
    table.rows.push_back({std::string(text_of(resource)), fmt::format("{:+.2f} %", 100 * change + 0.0)});
  }
  page.blank().table(table);
}

}  // namespace

const PlanReport* runner_up(const SearchResult& result) {
  if (result.plans.size() < 2) return nullptr;
  const Plan& best = result.plans.front().plan;
  for (const PlanReport& other : result.plans) {
    const Plan& p = other.plan;
    if (p.tensor != best.tensor || p.pipeline != best.pipeline || p.data != best.data || p.context != best.context)
      return &other;
  }
  return &result.plans[1];
}

namespace {
/// `text`, each line of which ends with a line feed, line by line.
void add_lines(Page& page, std::string_view text) {
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = text.find('\n', from);
    page.line(text.substr(from, end - from));
    from = end + 1;
  }
}
}  // namespace

std::string plan_answer(const Problem& problem, const SearchResult& result, Detail detail, PageStyle style) {
  Page page(style);
  const PlanReport& best = result.plans.front();
  if (detail == Detail::quiet) {
    add_winner(page, result);
    return page.text();
  }
  page.line(describe(problem));
  add_winner(page, result);
  if (const std::string idle = idle_gpus(problem, best); !idle.empty())
    page.line(idle.substr(0, idle.size() - 1), Ink::warn);
  add_lines(page, fault_text(best));
  page.blank().table(ranking_rows(result), 2, 0);
  if (std::any_of(result.plans.begin(), result.plans.end(), [](const PlanReport& r) { return r.near_best; }))
    page.line("~ within the noise: a run may well show it level with plan 1, or ahead", Ink::faint);
  page.blank();
  add_bounds(page, problem, best);
  add_runner_up(page, problem, result);
  add_advice(page, problem, best);
  page.blank().table(time_rows(best));
  if (detail == Detail::verbose) {
    add_elasticities(page, problem, best);
    add_troubles(page, problem, best);
  }
  page.blank().line("Memory of plan 1, GiB:").table(memory_rows(best), 2);
  page.blank();
  add_lines(page, counts(result));
  return page.text();
}

}  // namespace foretrain::cli
