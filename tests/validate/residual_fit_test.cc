#include "validate/residual_fit.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "base/data_dir.h"
#include "base/spec_error.h"
#include "hwmodels/catalogue.h"
#include "planner/report.h"
#include "validate/compare_runs.h"
#include "validate/published.h"

namespace foretrain {
namespace {

/// The runs of one file, measured to have taken `factor` times what is predicted; those of odd number the square of it.
std::vector<RunRow> shifted_runs(const Catalogue& catalogue, double factor) {
  std::vector<RunRow> kept;
  const std::string path = data_file("validate/published/runs/megatron-lm-2020-scaling-tables.json");
  for (RunRow& row : read_run_rows(SpecNode::read_file(path), catalogue)) {
    if (!row.problem || !row.step) continue;
    const PlanReport report = evaluate(*row.problem, *row.problem->plan);
    if (report.rejection) continue;
    row.step = report.step * (kept.size() % 2 == 0 ? factor : factor * factor);
    kept.push_back(std::move(row));
  }
  return kept;
}

}  // namespace

TEST_CASE("the spread of a GPU's rows is that of their middle 80 %") {
  std::vector<ComparisonRow> rows;
  for (int i = 1; i <= 10; ++i)  // 1 % to 10 % off in log, either side
    rows.push_back({.id = "x",
                    .quantity = "gemm_seconds",
                    .groups = {"gpu: a"},
                    .predicted = 1,
                    .measured = std::exp((i % 2 == 0 ? 0.01 : -0.01) * i)});
  const auto spread = part_residuals(rows, 1);
  REQUIRE(spread.size() == 1);
  CHECK(spread.at("a").rows == 10);
  CHECK(spread.at("a").log_sd == doctest::Approx(0.08 / 1.2816));
  // Pairs: -1 % with +2 %, ... -9 % with +10 %: near +0.5 % each, and nothing is left for the tenths.
  CHECK(part_residuals(rows, 2).at("a").log_sd < 0.01 / 1.2816);
  // One set of all: the mean of the ratios.
  double mean = 0;
  for (const ComparisonRow& row : rows) mean += row.measured / 10;
  CHECK(part_residuals(rows, 100).at("a").log_sd == doctest::Approx(std::log(mean) / 1.2816));
}

TEST_CASE("bias and width of a trainer come back from runs made with them") {
  const Catalogue catalogue = Catalogue::load();
  const std::vector<RunRow> runs = shifted_runs(catalogue, 1.1);
  REQUIRE(runs.size() >= 5);
  ResidualSpec residuals;  // kernels and collectives without error: all is the trainer's
  fit_steps(runs, residuals);
  REQUIRE(residuals.steps.size() == 1);
  const StepResidual& r = residuals.steps.begin()->second;
  CHECK(r.rows == static_cast<std::int64_t>(runs.size()));
  const double one = std::log(1.1);  // half of the runs, or one more, are off by this, the others by twice it
  CHECK(r.log_bias == doctest::Approx(one));
  CHECK(r.log_width == doctest::Approx(one));
  CHECK(residuals.any_step.log_bias == doctest::Approx(r.log_bias));
}

TEST_CASE("what is written is read back") {
  ResidualSpec residuals;
  residuals.kernels = {{"a", {3, 0.25}}};
  residuals.steps = {{"fsdp fp8", {7, -0.125, 0.5}}};
  residuals.ranking = {9, 0.0625};
  const ResidualSpec again = read_residuals(SpecNode::parse(residuals_text(residuals), "residuals.json"));
  CHECK(again.kernels.at("a").log_sd == 0.25);
  CHECK(again.steps.at("fsdp fp8").log_bias == -0.125);
  CHECK(again.steps.at("fsdp fp8").log_width == 0.5);
  CHECK(again.ranking.rows == 9);
  CHECK_THROWS_AS(read_residuals(SpecNode::parse(R"({"schema": "foretrain.residuals/1"})", "x.json")), SpecError);
}

TEST_CASE("75 to 90 % of the published steps lie inside their error bar") {
  const Catalogue catalogue = Catalogue::load();
  std::vector<ComparisonRow> steps;
  for (const std::string& path : published_files("runs"))
    for (ComparisonRow& row : compare_file(path, catalogue, 0).rows)
      if (row.quantity == "step_seconds") steps.push_back(std::move(row));
  const ErrorSummary s = summarise(steps);
  CHECK(s.count > 500);
  CHECK(s.inside_interval >= 0.75);
  CHECK(s.inside_interval <= 0.9);
}

}  // namespace foretrain
