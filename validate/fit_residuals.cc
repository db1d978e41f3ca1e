/// foretrain_fit_residuals: writes hwmodels/catalogue/residuals.json, of which error bars are made.
///
///     foretrain_fit_residuals [-o residuals.json]
///
/// Kernels are GEMMs of 10 GFLOP and more, collectives those of 1 MiB and more. Run it when predictions have moved.
#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/spec_node.h"
#include "validate/published.h"
#include "validate/residual_fit.h"
#include "validate/run_rows.h"

namespace foretrain {
namespace {

bool has_group(const ComparisonRow& row, std::string_view group) {
  return std::find(row.groups.begin(), row.groups.end(), group) != row.groups.end();
}

/// Four products (QKV, projection, two of the MLP), each forward and for two gradients.
constexpr std::size_t kGemmsOfLayer = 12;

/// GEMMs of 10 GFLOP and more.
bool is_large_gemm(const ComparisonRow& row) {
  return row.quantity == "gemm_seconds" && !has_group(row, "size: under 10 GFLOP");
}
bool is_large_collective(const ComparisonRow& row) { return has_group(row, "size: 1 MiB and more"); }

std::vector<ComparisonRow> published_rows(const std::string& folder, const Catalogue& catalogue,
                                          bool (*wanted)(const ComparisonRow&)) {
  std::vector<ComparisonRow> rows;
  for (const std::string& path : published_files(folder))
    for (ComparisonRow& row : compare_file(path, catalogue, 0).rows)
      if (wanted(row)) rows.push_back(std::move(row));
  return rows;
}

int run(const std::vector<std::string>& words) {
  if (!words.empty() && (words.size() != 2 || words[0] != "-o"))
    throw SpecError("command line", "expected nothing or -o FILE");
  const Catalogue catalogue = Catalogue::load();
  ResidualSpec residuals;
  residuals.kernels = part_residuals(published_rows("kernels", catalogue, is_large_gemm), kGemmsOfLayer);
  residuals.collectives = part_residuals(published_rows("collectives", catalogue, is_large_collective), 1);
  std::vector<RunRow> runs;
  for (const std::string& path : published_files("runs"))
    for (RunRow& row : read_run_rows(SpecNode::read_file(path), catalogue)) runs.push_back(std::move(row));
  fit_steps(runs, residuals);
  const std::string text = residuals_text(residuals);
  if (words.empty()) {
    fmt::print("{}", text);
    return 0;
  }
  std::ofstream file(words[1]);
  if (!(file << text << std::flush)) throw MachineError(fmt::format("{}: cannot be written", words[1]));
  return 0;
}

}  // namespace
}  // namespace foretrain

int main(int argc, char** argv) {
  try {
    return foretrain::run({argv + 1, argv + argc});
  } catch (const foretrain::SpecError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  } catch (const foretrain::MachineError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 3;
  }
}
