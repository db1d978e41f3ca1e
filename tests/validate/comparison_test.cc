#include "validate/comparison.h"

#include <doctest/doctest.h>

using namespace foretrain;

namespace {
ComparisonRow row(double predicted, double measured, std::vector<std::string> groups = {}) {
  return {"id", "step_seconds", std::move(groups), predicted, measured};
}
}  // namespace

TEST_CASE("errors are fractions of the measured value, and sum up as worked out by hand") {
  // errors: +0.1, -0.2, 0, +0.5, -0.05 -> sorted APE 0, 0.05, 0.1, 0.2, 0.5
  const std::vector<ComparisonRow> rows = {row(11, 10), row(8, 10), row(5, 5), row(30, 20), row(95, 100)};
  const ErrorSummary s = summarise(rows);
  CHECK(s.count == 5);
  CHECK(s.mape == doctest::Approx(0.85 / 5));
  CHECK(s.median_ape == doctest::Approx(0.1));  // third of five
  CHECK(s.p90_ape == doctest::Approx(0.5));     // 0.9 * 5 = 4.5: the fifth
  CHECK(s.max_ape == doctest::Approx(0.5));
  CHECK(s.bias == doctest::Approx(0.35 / 5));
  CHECK(s.within_10_percent == doctest::Approx(3.0 / 5));
}

TEST_CASE("rank correlation is 1 for the same order, -1 for the reverse, and averages ties") {
  CHECK(summarise({row(1, 10), row(2, 20), row(30, 30)}).spearman == doctest::Approx(1));
  CHECK(summarise({row(3, 10), row(2, 20), row(1, 30)}).spearman == doctest::Approx(-1));
  // predicted ranks 1.5 1.5 3, measured 1 2 3: covariance 1.5, variances 1.5 and 2 -> 1.5 / sqrt(3)
  CHECK(summarise({row(1, 10), row(1, 20), row(2, 30)}).spearman == doctest::Approx(0.8660254));
  CHECK(summarise({row(1, 10), row(1, 20)}).spearman == 0);
  CHECK(summarise({row(1, 10)}).spearman == 0);
}

TEST_CASE("no rows give zeros") {
  const ErrorSummary s = summarise({});
  CHECK(s.count == 0);
  CHECK(s.mape == 0);
  CHECK(s.max_ape == 0);
}

TEST_CASE("rows are summed up by quantity and by each of their groups") {
  std::vector<ComparisonRow> rows = {row(11, 10, {"gpu: a", "size: big"}), row(10, 10, {"gpu: b", "size: big"})};
  rows.push_back({"m", "peak_memory_bytes", {"gpu: a"}, 2, 1});
  const auto summary = summarise_by_quantity(rows);
  REQUIRE(summary.size() == 2);
  CHECK(summary.at("step_seconds").all.count == 2);
  CHECK(summary.at("step_seconds").groups.at("size: big").count == 2);
  CHECK(summary.at("step_seconds").groups.at("gpu: a").mape == doctest::Approx(0.1));
  CHECK(summary.at("peak_memory_bytes").groups.at("gpu: a").mape == doctest::Approx(1));
}

TEST_CASE("a comparison appended to another keeps order") {
  Comparison a{{row(1, 1)}, {{"x", "why"}}};
  append(a, Comparison{{row(2, 1)}, {{"y", "why"}}});
  REQUIRE(a.rows.size() == 2);
  CHECK(a.rows[1].predicted == 2);
  CHECK(a.refused[1].id == "y");
}
