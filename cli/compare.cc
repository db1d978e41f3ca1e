/// `foretrain compare`: predicted against measured, for files of runs, kernels and collectives.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/compare_text.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/catalogue.h"
#include "validate/accuracy_report.h"
#include "validate/calibrate/nccl_samples.h"
#include "validate/published.h"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

/// Writes the report; the comparison of all published files is what this run compared.
Comparison write_accuracy(const std::string& folder, const Catalogue& catalogue, std::int32_t threads) {
  const AccuracyInput input = compare_published(catalogue, threads);
  std::error_code error;
  fs::create_directories(fs::path(folder) / "accuracy", error);
  if (error) throw MachineError(fmt::format("{}: cannot make the folder: {}", folder, error.message()));
  for (const TextFile& file : accuracy_report(input)) write_file((fs::path(folder) / file.path).string(), file.content);
  Comparison all;
  for (const std::vector<MeasuredFile>* files : {&input.runs, &input.kernels, &input.collectives})
    for (const MeasuredFile& file : *files) append(all, file.comparison);
  return all;
}

}  // namespace

int compare(const CompareOptions& options) {
  if (options.files.empty() && options.accuracy.empty())
    throw SpecError("compare", "FILE is missing: what was measured");
  const Catalogue catalogue = Catalogue::load();
  std::shared_ptr<const Calibration> calibration;
  if (!options.calibration.empty())
    calibration = std::make_shared<const Calibration>(read_calibration(options.calibration));
  Comparison all;
  for (const std::string& path : options.files)
    append(all, is_nccl_file(path) ? compare_nccl_file(path, catalogue, calibration.get())
                                   : compare_file(path, catalogue, options.threads, calibration));
  if (!options.accuracy.empty()) append(all, write_accuracy(options.accuracy, catalogue, options.threads));
  print(options.format == Format::json ? comparison_json(all, calibration.get())
                                       : comparison_text(all, options.rows, calibration.get()));
  if (options.fail_above < 0) return kDone;
  if (all.rows.empty()) {
    fmt::print(stderr, "foretrain: nothing could be compared, which --fail-above counts as a failure\n");
    return kNothingFits;
  }
  const auto quantities = summarise_by_quantity(all.rows);
  const auto too_far = [&](const auto& entry) { return entry.second.all.mape > options.fail_above; };
  return std::any_of(quantities.begin(), quantities.end(), too_far) ? kNothingFits : kDone;
}

}  // namespace foretrain::cli
