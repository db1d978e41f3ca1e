/// `foretrain plan`: searches all plans of a job and ranks them.
#include <atomic>
#include <csignal>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/choices.h"
#include "cli/job_input.h"
#include "cli/nearest_miss.h"
#include "cli/output.h"
#include "cli/plan_answer.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/report_file.h"
#include "cli/subcommands.h"
#include "cli/trace.h"
#include "hwmodels/catalogue.h"
#include "planner/fault_report.h"
#include "planner/launch_rules.h"
#include "planner/plan_file.h"
#include "planner/search.h"

namespace foretrain::cli {
namespace {

std::atomic<bool> stop_asked = false;  // set by Ctrl-C: show the best plans so far

/// The first Ctrl-C asks the searches to stop, the second one ends the program.
class StopOnInterrupt {
 public:
  StopOnInterrupt()
      : previous_(std::signal(SIGINT, [](int) {
          stop_asked = true;
          std::signal(SIGINT, SIG_DFL);
        })) {}
  ~StopOnInterrupt() { std::signal(SIGINT, previous_); }
  StopOnInterrupt(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(const StopOnInterrupt&) = delete;

 private:
  void (*previous_)(int);
};

SearchResult search_with_progress(const Problem& problem, const PlanOptions& options) {
  std::atomic<std::int64_t> judged = 0;
  Progress progress("searching", "plans", judged, !options.quiet);
  SearchOptions search_options;
  search_options.judged_count = &judged;
  search_options.top = options.top;
  search_options.threads = options.threads;
  search_options.keep_judged = !options.report.empty();
  search_options.stop = &stop_asked;
  search_options.progress = [&](std::int64_t done, std::int64_t of) { progress.show(done, of); };
  SearchResult result = search(problem, search_options);
  progress.finish();
  return result;
}

/// What the trainer would not have launched, rule by rule.
std::string launch_rule_counts(const Problem& problem, const SearchResult& result) {
  if (!problem.trainer) return "";
  std::string text;
  const std::span<const LaunchRule> rules = launch_rules(*problem.trainer);
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (result.rejected_by_launch_rule[i] > 0)
      text += fmt::format("  {}: {}\n", result.rejected_by_launch_rule[i], rules[i].text);
  if (text.empty()) return "";
  return fmt::format("Of these, what {} would not launch:\n{}",
                     kTrainerNames[static_cast<std::size_t>(*problem.trainer)], text);
}

std::string nothing_found_text(const Problem& problem, const SearchResult& result, const PlanOptions& options) {
  if (options.quiet) return result.stopped_early ? "Stopped before a plan was found.\n" : "No plan fits.\n";
  std::string text = describe(problem) + "\n";
  if (result.stopped_early) return text + "Stopped before a plan was found.\n" + counts(result);
  return text + "No plan fits.\n" + counts(result) + launch_rule_counts(problem, result) +
         nearest_miss_text(problem, result, options.threads, stop_asked);
}

/// The job with the framework of `trainer`, where it names none. SpecError where it names another.
SpecNode job_for_trainer(const SpecNode& job, Trainer trainer) {
  const std::string_view framework = kFrameworkNames[static_cast<std::size_t>(framework_of(trainer))];
  const auto software = job.optional("software");
  const auto named = software ? software->optional("framework") : std::nullopt;
  if (!named) return with_override(job, "software.framework", in_quotes(framework));
  const auto kind = static_cast<FrameworkKind>(named->as_choice(kFrameworkNames, "framework"));
  if (kind != framework_of(trainer) && kind != FrameworkKind::generic)
    named->fail(fmt::format("--trainer {} runs {}; got {}", kTrainerNames[static_cast<std::size_t>(trainer)], framework,
                            kFrameworkNames[static_cast<std::size_t>(kind)]));
  return job;
}

}  // namespace

int plan(const PlanOptions& options) {
  const Catalogue catalogue = Catalogue::load();
  SpecNode job = read_job(options.job, 1);
  std::optional<Trainer> trainer;
  if (!options.trainer.empty()) {
    trainer = static_cast<Trainer>(choose(options.trainer, kTrainerNames, "--trainer", "trainer"));
    job = job_for_trainer(job, *trainer);
  }
  Problem problem = load_search_problem(job, catalogue);
  problem.trainer = trainer;
  problem.calibration = read_job_calibration(options.job);
  if (!problem.model.not_plannable.empty()) throw SpecError(job.required("model").where(), problem.model.not_plannable);
  const StopOnInterrupt interrupt;
  if (options.quiet && options.verbose) throw SpecError("plan", "--quiet and --verbose contradict each other");
  SearchResult result = search_with_progress(problem, options);
  if (!result.plans.empty() && !problem.cluster.faults.empty())
    result.plans.front().faults = fault_report(problem, result.plans.front().plan);
  std::optional<CalibrationCoverage> coverage;
  if (problem.calibration != nullptr)
    coverage = result.plans.empty() ? calibration_coverage(*problem.calibration)
                                    : calibration_coverage(problem, result.plans.front().plan);
  const std::string document = options.output.empty() && options.format == Format::text
                                   ? std::string()
                                   : plan_file_text(self_contained(job, problem.model.name), result, FORETRAIN_VERSION,
                                                    coverage ? &*coverage : nullptr, problem.trainer);
  if (!options.output.empty()) write_file(options.output, document);
  if (!options.trace.empty() && !result.plans.empty()) write_trace(options.trace, problem, result.plans.front().plan);
  if (!options.report.empty()) {
    const std::string more = (options.trainer.empty() ? "" : " --trainer " + options.trainer) +
                             (options.top == PlanOptions{}.top ? "" : fmt::format(" --top {}", options.top));
    write_report({.path = options.report,
                  .command = command_line("plan", options.job, more),
                  .searched = true,
                  .threads = options.threads},
                 problem, job, result, coverage ? &*coverage : nullptr);
  }
  if (options.format == Format::json) {
    print(document);
  } else if (result.plans.empty()) {
    print(nothing_found_text(problem, result, options));
  } else {
    const Detail detail = options.quiet ? Detail::quiet : options.verbose ? Detail::verbose : Detail::usual;
    std::string text = plan_answer(problem, result, detail, page_style());
    if (!options.quiet) text += launch_rule_counts(problem, result) + (coverage ? to_text(*coverage) : std::string());
    print(text);
  }
  if (result.stopped_early) return kInterrupted;
  return result.plans.empty() ? kNothingFits : kDone;
}

}  // namespace foretrain::cli
