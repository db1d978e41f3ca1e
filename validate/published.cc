#include "validate/published.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/data_dir.h"
#include "base/spec_node.h"
#include "validate/collective_rows.h"
#include "validate/compare_runs.h"
#include "validate/kernel_rows.h"
#include "validate/run_rows.h"

namespace foretrain {
namespace {

namespace fs = std::filesystem;

/// True when the first character that is no blank opens a JSON object or array.
bool looks_like_json(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  char first = 0;
  return static_cast<bool>(stream >> first) && (first == '{' || first == '[');
}

/// What the rows say they come from; the file's own name where they say nothing.
std::string source_of(const Comparison& comparison, const std::string& otherwise) {
  const std::string prefix = "source:";
  for (const ComparisonRow& row : comparison.rows)
    for (const std::string& group : row.groups)
      if (group.starts_with(prefix)) return group.substr(prefix.size());
  return otherwise;
}

std::vector<MeasuredFile> compare_folder(const std::string& folder, const Catalogue& catalogue, std::int32_t threads) {
  std::vector<MeasuredFile> files;
  for (const std::string& path : published_files(folder)) {
    const std::string stem = fs::path(path).stem().string();
    Comparison comparison = compare_file(path, catalogue, threads);
    std::string name = source_of(comparison, stem);
    const auto same = [&](const MeasuredFile& file) { return file.name == name; };
    if (std::any_of(files.begin(), files.end(), same)) name += ", " + stem;
    files.push_back({name, stem, std::move(comparison)});
  }
  return files;
}

/// validate/published/reasons.json.
std::vector<KnownReason> known_reasons() {
  const SpecNode file = SpecNode::read_file(data_file("validate/published/reasons.json"));
  file.allow_only({"schema", "notes", "reasons"});
  std::vector<KnownReason> reasons;
  for (const SpecNode& node : file.required("reasons").items()) {
    node.allow_only({"prefix", "reason"});
    reasons.push_back({node.required("prefix").as_string(), node.required("reason").as_string()});
  }
  return reasons;
}

}  // namespace

Comparison compare_file(const std::string& path, const Catalogue& catalogue, std::int32_t threads,
                        const std::shared_ptr<const Calibration>& calibration) {
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

std::vector<std::string> published_files(const std::string& folder) {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(data_file("validate/published/" + folder))) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".json" || extension == ".csv") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

AccuracyInput compare_published(const Catalogue& catalogue, std::int32_t threads) {
  std::vector<CollectiveRun> measured;
  for (const std::string& path : published_files("collectives")) {
    const std::vector<CollectiveRun> runs = read_collective_runs(SpecNode::read_file(path), catalogue);
    measured.insert(measured.end(), runs.begin(), runs.end());
  }
  return {compare_folder("runs", catalogue, threads), compare_folder("kernels", catalogue, threads),
          compare_folder("collectives", catalogue, threads), known_reasons(), medians_of_hosts(measured, kEightH100)};
}

}  // namespace foretrain
