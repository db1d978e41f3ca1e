/// `foretrain simulate` and `foretrain memory`: one plan, in time and in memory.
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "cli/report_file.h"
#include "cli/subcommands.h"
#include "cli/trace.h"
#include "planner/graph_file.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

void write_graph_file(const SimulateOptions& options, const Problem& problem, Seconds step) {
  const Plan& plan = *problem.plan;
  const std::optional<std::int64_t> rank = parse_rank(options.rank, plan);
  const StepGraph graph = kernel_step(problem, plan);
  write_file(options.graph, [&](std::ostream& stream) {
    write_graph(problem, plan, graph, stream,
                {.rank = rank, .version = FORETRAIN_VERSION, .step = to_picoseconds(step)});
  });
}

}  // namespace

int simulate(const SimulateOptions& options) {
  const SpecNode job = read_job(options.job, options.plan);
  const Problem problem = load_with_plan(job, options.job);
  PlanReport report = evaluate(problem, *problem.plan, {.even_if_too_big = true, .unfold = options.unfold});
  const bool simulated = report.step.base() > 0;
  if (simulated && !problem.cluster.faults.empty())
    report.faults = fault_report(problem, *problem.plan, options.unfold);
  std::optional<CalibrationCoverage> coverage;
  if (problem.calibration != nullptr)
    coverage = simulated ? calibration_coverage(problem, *problem.plan) : calibration_coverage(*problem.calibration);
  if (!options.output.empty() || options.format == Format::json) {
    const std::string document = plan_file_text(self_contained(job, problem.model.name), as_search_result(report),
                                                FORETRAIN_VERSION, coverage ? &*coverage : nullptr);
    if (!options.output.empty()) write_file(options.output, document);
    if (options.format == Format::json) print(document);
  }
  if (!options.trace.empty() && simulated) write_trace(options.trace, problem, *problem.plan, options.unfold);
  if (!options.report.empty()) {
    const std::string more = options.plan == 1 ? "" : fmt::format(" --plan {}", options.plan);
    write_report({.path = options.report, .command = command_line("simulate", options.job, more)}, problem, job,
                 as_search_result(report), coverage ? &*coverage : nullptr);
  }
  if (!options.graph.empty() && simulated) write_graph_file(options, problem, report.step);
  if (options.format == Format::text) {
    std::string text = describe(problem) + "\n" + to_text(report.plan) + "\n" + idle_gpus(problem, report);
    if (report.rejection) text += refusal_text(report);
    if (simulated) {
      text += fmt::format("A step takes {}: {:.0f} tokens/s/GPU, {:.1f} model TFLOP/s/GPU, MFU {:.1f} %.\n{}\n{}\n",
                          step_and_interval(report), report.tokens_per_second_per_gpu, report.model_tflops_per_gpu,
                          100 * report.mfu, fault_text(report), time_table(report));
    }
    if (!report.stages.empty()) text += "Memory, GiB:\n" + memory_table(report);
    if (coverage) text += "\n" + to_text(*coverage);
    print(text);
  }
  return report.rejection ? kNothingFits : kDone;
}

int memory(const MemoryOptions& options) {
  const SpecNode job = read_job(options.job, options.plan);
  const Problem problem = load_with_plan(job, options.job);
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
