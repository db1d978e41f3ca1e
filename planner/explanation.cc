#include "planner/explanation.h"

#include <array>
#include <utility>

#include "planner/search.h"

namespace foretrain {
namespace {

std::vector<Elasticity> elasticities(const Problem& problem, const ExplainRequest& request, Seconds step) {
  constexpr double more = 1.01;
  std::vector<Elasticity> all;
  for (std::size_t i = 0; i < kResourceNames.size(); ++i) {
    const auto resource = static_cast<Resource>(i);
    const Problem changed = scaled(problem, resource, more);
    Elasticity e{.resource = resource, .change = outcome(changed, request.plan).step / step - 1, .replanned = {}};
    if (resource == Resource::memory) {
      e.change = 0;
      if (request.search_again) {
        const SearchResult found =
            search(changed, {.top = 1, .threads = request.threads, .stop = nullptr, .progress = {}});
        if (!found.plans.empty() && found.plans.front().step < step) {
          e.change = found.plans.front().step / step - 1;
          if (!(found.plans.front().plan == request.plan)) e.replanned = found.plans.front().plan;
        }
      }
    }
    all.push_back(std::move(e));
  }
  return all;
}

/// `count` times `times`; with times < 0 one part in -times, where it divides.
std::optional<std::int32_t> times_as_many(std::int64_t count, std::int64_t times) {
  if (times < 0 && count % -times != 0) return std::nullopt;
  const std::int64_t changed = times < 0 ? count / -times : count * times;
  if (changed < 1 || changed > 1'000'000'000) return std::nullopt;
  return static_cast<std::int32_t>(changed);
}

/// Two problems of another size beside each other; nothing where a plan breaks a rule there or `other` is not faster.
std::optional<OtherSize> faster_there(const Problem& changed, const Plan& own, const Plan& other, std::string what,
                                      std::int64_t value) {
  const Outcome a = outcome(changed, own), b = outcome(changed, other);
  if (a.step.base() <= 0 || !b.runs() || b.step >= a.step) return std::nullopt;
  return OtherSize{std::move(what), value, a.step, b.step};
}

std::vector<OtherSize> other_sizes(const Problem& problem, const Plan& own, const Plan& other) {
  std::vector<OtherSize> found;
  for (const int direction : {1, -1}) {
    for (const int size : {2, 4, 8}) {
      const auto batch = times_as_many(problem.training.global_batch, direction * size);
      if (!batch) break;
      Problem changed = problem;
      changed.training.global_batch = *batch;
      if (auto there = faster_there(changed, own, other, "global_batch", *batch)) {
        found.push_back(std::move(*there));
        break;
      }
    }
  }
  for (const int direction : {1, -1}) {
    for (const int size : {2, 4, 8}) {
      const auto gpus = times_as_many(problem.cluster.gpus, direction * size);
      const auto own_data = times_as_many(own.data, direction * size);
      const auto other_data = times_as_many(other.data, direction * size);
      if (!gpus || !own_data || !other_data) break;
      Problem changed = problem;
      changed.cluster.gpus = *gpus;
      Plan a = own, b = other;
      a.data = *own_data;
      b.data = *other_data;
      if (auto there = faster_there(changed, a, b, "gpus", *gpus)) {
        found.push_back(std::move(*there));
        break;
      }
    }
  }
  return found;
}

void set_beside(Explanation& e, const Problem& problem, const Plan& against) {
  e.against = evaluate(problem, against, {.even_if_too_big = true});
  if (e.against->step.base() <= 0) return;
  e.time = contrast_time(e.report, *e.against);
  e.memory = contrast_memory(e.report, *e.against);
  const bool own_wins = e.report.step < e.against->step;
  const Plan& first = own_wins ? e.report.plan : e.against->plan;
  const Plan& second = own_wins ? e.against->plan : e.report.plan;
  for (std::size_t i = 0; i < kResourceNames.size(); ++i)
    for (BreakEven& b : break_even(problem, first, second, static_cast<Resource>(i)))
      e.break_evens.push_back(std::move(b));
  e.other_sizes = other_sizes(problem, first, second);
}

}  // namespace

Explanation explain_plan(const Problem& problem, const ExplainRequest& request) {
  Explanation e;
  DetailedReport detailed = evaluate_in_detail(problem, request.plan, {.even_if_too_big = true});
  e.report = detailed.report;
  if (e.report.step.base() <= 0) return e;
  e.chain = critical_chain(detailed.graph, detailed.timeline);
  e.chain_time = detailed.timeline.makespan;
  e.searched_again = request.search_again;
  e.elasticities = elasticities(problem, request, e.report.step);
  e.troubles = troubles(problem, detailed);
  if (request.against) set_beside(e, problem, *request.against);
  return e;
}

}  // namespace foretrain
