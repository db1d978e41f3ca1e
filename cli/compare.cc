/// `foretrain compare`: predicted against measured, for files of runs, kernels and collectives.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/data_dir.h"
#include "base/spec_node.h"
#include "base/text.h"
#include "cli/compare_text.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/catalogue.h"
#include "validate/accuracy_report.h"
#include "validate/collective_rows.h"
#include "validate/compare_runs.h"
#include "validate/kernel_rows.h"
#include "validate/run_rows.h"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

/// True when the first character that is no blank opens a JSON object or array.
bool looks_like_json(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  char first = 0;
  return static_cast<bool>(stream >> first) && (first == '{' || first == '[');
}

/// What kind of file it is shows in its first character, its schema and its columns.
Comparison compare_file(const std::string& path, const Catalogue& catalogue, std::int32_t threads,
                        const std::shared_ptr<const Calibration>& calibration = nullptr) {
  std::error_code error;
  const bool csv = fs::is_regular_file(path, error) && !looks_like_json(path);
  if (csv) return compare_kernels(read_kernel_rows(path), catalogue, calibration.get());
  const SpecNode file = SpecNode::read_file(path);
  if (is_runs_file(file)) {
    std::vector<RunRow> rows = read_run_rows(file, catalogue);
    for (RunRow& row : rows)
      if (row.problem) row.problem->calibration = calibration;
    return compare_runs(rows, threads);
  }
  if (is_collective_file(file)) return compare_collectives(read_collective_runs(file, catalogue), calibration.get());
  file.fail("expected runs (\"schema\": \"foretrain.runs/1\"), a list of collectives, or kernels as CSV");
}

/// Measurements in one folder of the published ones, by name.
std::vector<std::string> published(const std::string& folder) {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(data_file("validate/published/" + folder))) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".json" || extension == ".csv") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// What the rows say they come from; the file's own name where they say nothing.
std::string source_of(const Comparison& comparison, const std::string& otherwise) {
  const std::string prefix = "source:";
  for (const ComparisonRow& row : comparison.rows)
    for (const std::string& group : row.groups)
      if (group.starts_with(prefix)) return group.substr(prefix.size());
  return otherwise;
}

std::vector<MeasuredFile> compare_published(const std::string& folder, const Catalogue& catalogue,
                                            std::int32_t threads) {
  std::vector<MeasuredFile> files;
  for (const std::string& path : published(folder)) {
    const std::string stem = fs::path(path).stem().string();
    Comparison comparison = compare_file(path, catalogue, threads);
    std::string name = source_of(comparison, stem);
    const auto same = [&](const MeasuredFile& file) { return file.name == name; };
    if (std::any_of(files.begin(), files.end(), same)) name += ", " + stem;
    files.push_back({name, stem, std::move(comparison)});
  }
  return files;
}

/// Writes the report; the comparison of all published files is what this run compared.
Comparison write_accuracy(const std::string& folder, const Catalogue& catalogue, std::int32_t threads) {
  const AccuracyInput input = {compare_published("runs", catalogue, threads),
                               compare_published("kernels", catalogue, threads),
                               compare_published("collectives", catalogue, threads)};
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
    append(all, compare_file(path, catalogue, options.threads, calibration));
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
