#include "cli/nearest_miss.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/plan_text.h"

namespace foretrain::cli {
namespace {

std::optional<PlanReport> best_plan(const Problem& problem, std::int32_t threads, const std::atomic<bool>& stop) {
  SearchOptions options;
  options.top = 1;
  options.threads = threads;
  options.stop = &stop;
  SearchResult result = search(problem, options);
  if (result.plans.empty()) return std::nullopt;
  return std::move(result.plans.front());
}

/// The least change to the problem that lets a plan fit, and that plan.
std::string what_would_fit(const Problem& problem, std::int32_t threads, const std::atomic<bool>& stop) {
  Problem other = problem;
  other.search = {};
  if (const std::optional<PlanReport> best = best_plan(other, threads, stop))
    return fmt::format("It would fit without the limits of \"search\": {}, step {}.\n", to_text(best->plan),
                       step_text(best->step));
  constexpr std::int64_t most_times = 64;
  for (std::int64_t times = 2; times <= most_times; times *= 2) {
    other.cluster.gpus = problem.cluster.gpus * times;
    if (const std::optional<PlanReport> best = best_plan(other, threads, stop))
      return fmt::format("It would fit on {} GPUs: {}, step {}.\n", other.cluster.gpus, to_text(best->plan),
                         step_text(best->step));
  }
  if (stop) return "Stopped before anything was found that would fit.\n";
  return fmt::format("Nothing fits on {} times the GPUs either.\n", most_times);
}

std::string miss_text(const PlanReport& miss) {
  const auto fullest =
      std::max_element(miss.stages.begin(), miss.stages.end(),
                       [](const MemoryAnatomy& a, const MemoryAnatomy& b) { return a.total < b.total; });
  std::string text = fmt::format("Nearest miss: {}", to_text(miss.plan));
  if (fullest == miss.stages.end()) return text + ".\n";
  const auto largest = std::max_element(fullest->by_label.begin(), fullest->by_label.end());
  const Bytes lacking = static_cast<double>(fullest->total) * bytes - miss.memory_limit;
  return text + fmt::format(" lacks {} on stage {}, most of which holds {} ({}).\n{}", to_text(lacking), fullest->stage,
                            kMemoryLabelNames[static_cast<std::size_t>(largest - fullest->by_label.begin())],
                            to_text(static_cast<double>(*largest) * bytes), memory_table(miss));
}

}  // namespace

std::string nearest_miss_text(const Problem& problem, const SearchResult& result, std::int32_t threads,
                              const std::atomic<bool>& stop) {
  const std::string miss = result.nearest_miss ? miss_text(*result.nearest_miss)
                                               : "No plan got as far as memory: the rules above refuse them all.\n";
  return miss + what_would_fit(problem, threads, stop);
}

}  // namespace foretrain::cli
