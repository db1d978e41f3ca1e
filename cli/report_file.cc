#include "cli/report_file.h"

#include <algorithm>

#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "planner/html_report.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

std::string shell_word(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,:+-@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string command_line(std::string_view subcommand, const JobOptions& job, const std::string& more) {
  std::string text = "foretrain " + std::string(subcommand) + " " + shell_word(job.file);
  for (const std::string& change : job.overrides) text += " --set " + shell_word(change);
  if (!job.from.empty()) text += " --from " + shell_word(job.from);
  if (!job.cluster.empty()) text += " --cluster " + shell_word(job.cluster);
  if (!job.calibration.empty()) text += " --calibration " + shell_word(job.calibration);
  return text + more;
}

void write_report(const ReportFile& file, const Problem& problem, const SpecNode& job, const SearchResult& result,
                  const CalibrationCoverage* calibration) {
  SearchResult shown = result;
  shown.plans.resize(std::min(shown.plans.size(), plans_in_report(result)));
  shown.judged.clear();
  const std::string plans =
      plan_file_text(self_contained(job, problem.model.name), shown, FORETRAIN_VERSION, calibration, problem.trainer);
  TradeOff trade;
  if (file.searched) {
    TradeOffOptions options{.threads = file.threads};
    if (result.stopped_early) options.most_front_simulated = 0;  // somebody waits
    trade = trade_off(problem, result.judged, options);
  }
  const std::string page = html_report({.problem = problem,
                                        .result = result,
                                        .trade_off = file.searched ? &trade : nullptr,
                                        .plan_file = plans,
                                        .command = file.command + " --report " + shell_word(file.path),
                                        .subtitle = describe(problem)});
  write_file(file.path, page);
}

}  // namespace foretrain::cli
