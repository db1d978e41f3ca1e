/// `foretrain simulate` and `foretrain memory`: one plan, in time and in memory.
#include <charconv>
#include <optional>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "cli/subcommands.h"
#include "cli/trace.h"
#include "hwmodels/catalogue.h"
#include "planner/graph_file.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

Problem load_with_plan(const SpecNode& job) {
  Problem problem = load_problem(job, Catalogue::load());
  if (!problem.model.not_plannable.empty()) throw SpecError(job.required("model").where(), problem.model.not_plannable);
  if (!problem.plan) job.fail("key \"plan\" is missing: it holds the one plan to predict");
  return problem;
}

/// The rank that `text` names, nothing for all of them.
std::optional<std::int64_t> parse_rank(const std::string& text, const Plan& plan) {
  if (text == "all") return {};
  std::int64_t rank = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (error != std::errc{} || end != text.data() + text.size() || rank < 0 || rank >= gpus_used(plan))
    throw SpecError("--rank", fmt::format("expected all, or 0 to {}; got {}", gpus_used(plan) - 1, in_quotes(text)));
  return rank;
}

void write_graph_file(const SimulateOptions& options, const Problem& problem, Seconds step) {
  const Plan& plan = *problem.plan;
  const std::optional<std::int64_t> rank = parse_rank(options.rank, plan);
  const StepGraph graph = kernel_step(problem, plan);
  write_file(options.graph, [&](std::ostream& stream) {
    write_graph(problem, plan, graph, stream,
                {.rank = rank, .version = FORETRAIN_VERSION, .step = to_picoseconds(step)});
  });
}

/// A refused plan in one line.
std::string refusal_text(const PlanReport& report) {
  const Rejection& rejection = *report.rejection;
  if (rejection.reason == RejectionReason::memory)
    return fmt::format("It does not fit: {} needed, {} there.\n", to_text(report.peak_memory),
                       to_text(report.memory_limit));
  return fmt::format("It cannot run: {} ({}).\n", rejection.rule,
                     kRejectionNames[static_cast<std::size_t>(rejection.reason)]);
}

}  // namespace

int simulate(const SimulateOptions& options) {
  const SpecNode job = read_job(options.job, options.plan);
  const Problem problem = load_with_plan(job);
  const PlanReport report = evaluate(problem, *problem.plan, {.even_if_too_big = true});
  const bool simulated = report.step.base() > 0;
  if (!options.output.empty() || options.format == Format::json) {
    const std::string document =
        plan_file_text(self_contained(job, problem.model.name), as_search_result(report), FORETRAIN_VERSION);
    if (!options.output.empty()) write_file(options.output, document);
    if (options.format == Format::json) print(document);
  }
  if (!options.trace.empty() && simulated) write_trace(options.trace, problem, *problem.plan);
  if (!options.graph.empty() && simulated) write_graph_file(options, problem, report.step);
  if (options.format == Format::text) {
    std::string text = describe(problem) + "\n" + to_text(report.plan) + "\n";
    if (report.rejection) text += refusal_text(report);
    if (simulated) {
      text += fmt::format("A step takes {}: {:.0f} tokens/s/GPU, {:.1f} model TFLOP/s/GPU, MFU {:.1f} %.\n\n{}\n",
                          step_text(report.step), report.tokens_per_second_per_gpu, report.model_tflops_per_gpu,
                          100 * report.mfu, time_table(report));
    }
    if (!report.stages.empty()) text += "Memory, GiB:\n" + memory_table(report);
    print(text);
  }
  return report.rejection ? kNothingFits : kDone;
}

int memory(const MemoryOptions& options) {
  const SpecNode job = read_job(options.job, options.plan);
  const Problem problem = load_with_plan(job);
  const PlanReport report = evaluate(problem, *problem.plan);
  if (report.stages.empty()) {
    print(to_text(report.plan) + "\n" + refusal_text(report));
    return kNothingFits;
  }
  if (options.format == Format::text) {
    print(describe(problem) + "\n" + to_text(report.plan) + "\n\nMemory, GiB:\n" + memory_table(report));
    if (report.rejection) print(refusal_text(report));
    return report.rejection ? kNothingFits : kDone;
  }
  print(memory_file_text(report));
  return report.rejection ? kNothingFits : kDone;
}

}  // namespace foretrain::cli
