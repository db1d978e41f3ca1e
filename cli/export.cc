/// `foretrain export`: a plan as a trainer's configuration.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/choices.h"
#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/catalogue.h"
#include "planner/export_plan.h"
#include "planner/launch_rules.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

Problem load_planned(const SpecNode& job, const Catalogue& catalogue) {
  Problem problem = load_problem(job, catalogue);
  if (!problem.plan) job.fail("key \"plan\" is missing: it holds the plan to export");
  return problem;
}

/// The first plan of the file that the trainer does launch; 0 when there is none.
std::size_t first_launched(const ExportOptions& options, const Exporter& exporter, const Catalogue& catalogue) {
  constexpr std::size_t kMostTried = 100;
  const SpecNode file = SpecNode::read_file(options.job.file);
  if (!is_plan_file(file)) return 0;
  const std::size_t plans = std::min(kMostTried, file.required("plans").size());
  for (std::size_t i = 1; i <= plans; ++i) {
    const Problem problem = load_planned(read_job(options.job, static_cast<std::int32_t>(i)), catalogue);
    if (!why_not_exported(exporter, problem, *problem.plan)) return i;
  }
  return 0;
}

void warn(const Problem& problem, const Exporter& exporter) {
  if (!exporter.trainer) return;
  const FrameworkKind runs = framework_of(*exporter.trainer), predicted = problem.software.framework;
  if (runs == predicted || predicted == FrameworkKind::generic) return;
  fmt::print(stderr, "warning: this plan was made for {}; {} may take another time\n",
             kFrameworkNames[static_cast<std::size_t>(predicted)], exporter.name);
}

}  // namespace

int export_plan(const ExportOptions& options) {
  std::vector<std::string_view> names;
  for (const Exporter& exporter : exporters()) names.push_back(exporter.name);
  const Exporter& exporter = exporters()[choose(options.to, names, "--to", "exporter")];
  const Catalogue catalogue = Catalogue::load();
  const SpecNode job = read_job(options.job, options.plan);
  Problem problem = load_planned(job, catalogue);
  problem.job_json = self_contained(job, problem.model.name);  // for files that hold the job
  if (const auto refusal = why_not_exported(exporter, problem, *problem.plan)) {
    std::string text =
        fmt::format("foretrain: {} does not launch {}: {}", exporter.name, to_text(*problem.plan), refusal->rule);
    if (const std::size_t other = first_launched(options, exporter, catalogue); other > 0)
      text += fmt::format("; it does launch plan {} of this file", other);
    fmt::print(stderr, "{}\n", text);
    return kNothingFits;
  }
  warn(problem, exporter);
  const std::string text = exporter.write(problem, *problem.plan);
  if (options.output.empty()) {
    print(text);
  } else {
    write_file(options.output, text);
  }
  return kDone;
}

}  // namespace foretrain::cli
