/// `foretrain explain`: why one plan of a plan file takes as long as it does, and why it beats another one.
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "base/spec_node.h"
#include "cli/explain_text.h"
#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "cli/subcommands.h"

namespace foretrain::cli {
namespace {

/// Spaces beyond this are not searched again: explaining takes seconds.
constexpr std::int64_t kMostSearchedAgain = 3'000'000;

void check_number(const PlanFile& file, std::int32_t number, const ExplainOptions& options, const char* flag) {
  if (static_cast<std::size_t>(number) > file.plans.size())
    throw SpecError(options.job.file, fmt::format("{} {}: the file holds {} plan{}", flag, number, file.plans.size(),
                                                  file.plans.size() == 1 ? "" : "s"));
}

/// The plan that lacked least memory, simulated as if it fitted.
std::optional<PlanReport> nearest_miss(const SpecNode& file, const Problem& problem) {
  const auto stored = file.optional("nearest_miss");
  if (!stored) return std::nullopt;
  const Plan plan = read_plan(stored->required("plan"), problem.software, problem.cluster.gpus);
  PlanReport report = evaluate(problem, plan, {.even_if_too_big = true});
  if (report.stages.empty() || !report.rejection) return std::nullopt;
  return report;
}

void warn_of_other_step(const ExplainOptions& options, std::int32_t number, const StoredPlan& stored,
                        const PlanReport& now) {
  if (std::abs(now.step / stored.step - 1) < 1e-9) return;
  fmt::print(stderr, "warning: {} says that plan {} takes {}; predicted now: {}\n", options.job.file, number,
             step_text(stored.step), step_text(now.step));
}

/// A file in which nothing fits: what refused the plans is all there is to explain.
int explain_nothing(const ExplainOptions& options, const SpecNode& node, const PlanFile& file) {
  const Problem problem = load_search_problem(node.required("job"), Catalogue::load());
  const Explanation nothing;  // no plan to speak of
  const ExplainedFile explained{
      .problem = problem, .file = file, .explanation = nothing, .nearest_miss = nearest_miss(node, problem)};
  print(options.format == Format::json ? explain_json(explained) : explain_text(explained, page_style()));
  return kNothingFits;
}

}  // namespace

int explain(const ExplainOptions& options) {
  const SpecNode node = SpecNode::read_file(options.job.file);
  const PlanFile file = read_plan_file(node);
  if (file.plans.empty()) return explain_nothing(options, node, file);
  check_number(file, options.plan, options, "--plan");
  if (options.against > 0) check_number(file, options.against, options, "--against");
  if (options.against == options.plan) throw SpecError("--against", "is the plan itself: expected another one");
  const std::int32_t other = options.plan == 1 ? 2 : 1;
  const bool pair = options.against > 0 || file.plans.size() > 1;
  const std::int32_t against = options.against > 0 ? options.against : other;
  const Problem problem = load_with_plan(read_job(options.job, options.plan), options.job);
  ExplainRequest request{.plan = *problem.plan,
                         .against = {},
                         .search_again = file.considered > 1 && file.considered <= kMostSearchedAgain,
                         .threads = options.threads};
  if (pair) request.against = *load_with_plan(read_job(options.job, against), options.job).plan;
  const Explanation explanation = explain_plan(problem, request);
  warn_of_other_step(options, options.plan, file.plans[static_cast<std::size_t>(options.plan - 1)], explanation.report);
  const ExplainedFile explained{.problem = problem,
                                .file = file,
                                .explanation = explanation,
                                .plan = options.plan,
                                .against = against,
                                .nearest_miss = nearest_miss(node, problem)};
  print(options.format == Format::json ? explain_json(explained) : explain_text(explained, page_style()));
  return kDone;
}

}  // namespace foretrain::cli
