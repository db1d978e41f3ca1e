#include "cli/nearest_miss.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/plan_text.h"

namespace foretrain::cli {
namespace {

/// A change to a problem or its plan, and how to say it.
struct Change {
  std::string words;
  Problem problem;
  Plan plan;
};

/// Changes worth trying, the cheapest to make first.
std::vector<Change> changes_to(const Problem& problem, const Plan& plan) {
  std::vector<Change> changes;
  const auto with_plan = [&](const std::string& words, auto edit) {
    Change change{words, problem, plan};
    edit(change.plan);
    if (!(change.plan == plan)) changes.push_back(std::move(change));
  };
  with_plan("micro_batch 1", [](Plan& p) { p.micro_batch = 1; });
  with_plan("recompute full", [](Plan& p) { p.recompute = Recompute::full, p.recompute_layers = 0; });
  with_plan("sequence_parallel", [](Plan& p) { p.sequence_parallel = p.tensor > 1; });
  with_plan("zero_stage 1", [](Plan& p) { p.zero_stage = std::max(p.zero_stage, 1); });
  with_plan("zero_stage 3", [](Plan& p) { p.zero_stage = p.pipeline == 1 ? 3 : p.zero_stage; });
  with_plan("micro_batch 1, recompute full, sequence_parallel, zero_stage 1", [](Plan& p) {
    p.micro_batch = 1;
    p.recompute = Recompute::full, p.recompute_layers = 0;
    p.sequence_parallel = p.tensor > 1;
    p.zero_stage = std::max(p.zero_stage, 1);
  });
  for (const std::int32_t factor : {2, 4, 8, 16}) {
    const auto more_gpus = [&](const std::string& words, auto edit) {
      Change change{fmt::format("{} times the GPUs ({}), {}", factor, problem.cluster.gpus * factor, words), problem,
                    plan};
      change.problem.cluster.gpus *= factor;
      edit(change.plan);
      changes.push_back(std::move(change));
    };
    more_gpus(fmt::format("pipeline {}", plan.pipeline * factor), [&](Plan& p) { p.pipeline *= factor; });
    more_gpus(fmt::format("tensor {}", plan.tensor * factor), [&](Plan& p) {
      p.tensor *= factor;
      p.sequence_parallel = true;
    });
    more_gpus(fmt::format("data {} with zero_stage {}", plan.data * factor, std::max(plan.zero_stage, 1)),
              [&](Plan& p) {
                p.data *= factor;
                p.zero_stage = std::max(p.zero_stage, 1);
              });
  }
  return changes;
}

std::string what_would_fit(const Problem& problem, const Plan& plan) {
  constexpr std::size_t kEnough = 3;
  std::vector<std::string> fitting;
  for (const Change& change : changes_to(problem, plan)) {
    if (fitting.size() == kEnough) break;
    const PlanReport report = evaluate(change.problem, change.plan);
    if (!report.rejection) fitting.push_back(fmt::format("  {}: step {}\n", change.words, step_text(report.step)));
  }
  if (fitting.empty())
    return "Nothing close to it fits: recomputation, smaller micro-batches, sharding and up to 16 times the GPUs.\n";
  return fmt::format("It would fit with\n{}", fmt::join(fitting, ""));
}

}  // namespace

std::string nearest_miss_text(const Problem& problem, const SearchResult& result) {
  if (!result.nearest_miss) return "No plan got as far as memory: the rules above refuse them all.\n";
  const PlanReport& miss = *result.nearest_miss;
  const auto fullest =
      std::max_element(miss.stages.begin(), miss.stages.end(),
                       [](const MemoryAnatomy& a, const MemoryAnatomy& b) { return a.total < b.total; });
  std::string text = fmt::format("Nearest miss: {}", to_text(miss.plan));
  if (fullest != miss.stages.end()) {
    const auto largest = std::max_element(fullest->by_label.begin(), fullest->by_label.end());
    const Bytes lacking = static_cast<double>(fullest->total) * bytes - miss.memory_limit;
    text += fmt::format(" lacks {} on stage {}, most of which holds {} ({}).\n{}", to_text(lacking), fullest->stage,
                        kMemoryLabelNames[static_cast<std::size_t>(largest - fullest->by_label.begin())],
                        to_text(static_cast<double>(*largest) * bytes), memory_table(miss));
  } else {
    text += ".\n";
  }
  return text + what_would_fit(problem, miss.plan);
}

}  // namespace foretrain::cli
