#include "validate/calibrate/surface_fit.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

const std::vector<std::string> kAxes = {"log2 m", "log2 n", "log2 k"};

/// A number in [0, 1) that depends on i and `of` alone.
double uniform(int i, const char* of) { return static_cast<double>(hash_of(of + std::to_string(i)) >> 11U) * 0x1p-53; }

/// `count` places in a box of 5 x 5 x 5 octaves with what `ratio` gives there.
template <class Ratio>
std::vector<RatioAt> rows(int count, const Ratio& ratio) {
  std::vector<RatioAt> all;
  for (int i = 0; i < count; ++i) {
    RatioAt row;
    row.at = {10 + 5 * uniform(i, "m"), 9 + 5 * uniform(i, "n"), 8 + 5 * uniform(i, "k")};
    row.log_ratio = ratio(row.at, i);
    all.push_back(row);
  }
  return all;
}

/// Mean |fit - truth| over places that were not fitted.
template <class Ratio>
double error_of(const CorrectionSurface& surface, const Ratio& truth) {
  double sum = 0;
  constexpr int kPlaces = 500;
  for (const RatioAt& row : rows(kPlaces, truth)) {
    ShapePoint moved = row.at;  // inside the box, between the fitted places
    for (std::size_t j = 0; j < 3; ++j) moved[j] = 0.9 * moved[j] + 0.1 * (12 - static_cast<double>(j));
    sum += std::abs(surface.at(moved).log_ratio - truth(moved, 0));
  }
  return sum / kPlaces;
}

}  // namespace

TEST_CASE("a GPU that is slower by one factor is corrected by that factor") {
  const auto truth = [](const ShapePoint&, int) { return std::log(1.25); };
  const SurfaceFit fit = fit_surface(rows(40, truth), kAxes);
  // The constant is pulled to 0 by half a point against 40: 1 %.
  CHECK(fit.surface.at({12, 11, 10}).log_ratio == doctest::Approx(std::log(1.25)).epsilon(0.02));
  CHECK(fit.outliers == 0);
}

TEST_CASE("rows that agree with the model leave it as it is") {
  const auto noise = [](const ShapePoint&, int i) { return 0.04 * (uniform(i, "noise") - 0.5); };
  const SurfaceFit fit = fit_surface(rows(200, noise), kAxes);
  double most = 0;
  for (const RatioAt& row : rows(200, noise)) most = std::max(most, std::abs(fit.surface.at(row.at).log_ratio));
  CHECK(most < 0.01);
}

TEST_CASE("a smooth error of the model over shapes is found between the measured places") {
  const auto truth = [](const ShapePoint& x, int) { return 0.3 * std::sin(0.6 * x[0]) + 0.05 * (x[2] - 10); };
  const auto noisy = [&](const ShapePoint& x, int i) { return truth(x, i) + 0.02 * (uniform(i, "noise") - 0.5); };
  const SurfaceFit fit = fit_surface(rows(200, noisy), kAxes);
  const double before = error_of(CorrectionSurface(), truth), after = error_of(fit.surface, truth);
  CHECK(before > 0.15);
  CHECK(after < 0.03);
}

TEST_CASE("one row in ten that is far off does not move the others") {
  const auto truth = [](const ShapePoint& x, int) { return 0.1 + 0.04 * (x[0] - 12); };
  const auto broken = [&](const ShapePoint& x, int i) {
    return i % 10 == 3 ? 1.5 : truth(x, i) + 0.02 * (uniform(i, "noise") - 0.5);
  };
  const SurfaceFit fit = fit_surface(rows(200, broken), kAxes);
  CHECK(error_of(fit.surface, truth) < 0.02);
  CHECK(fit.outliers >= 15);
}

TEST_CASE("one row measured many times counts once for its shape") {
  std::vector<RatioAt> all(1000, RatioAt{.at = {12, 11, 10}, .log_ratio = 0.2});
  const SurfaceFit fit = fit_surface(all, kAxes);
  CHECK(fit.surface.parts().points.size() == 1);
  // Weight sqrt(1000) against the half that holds the constant at 0.
  CHECK(fit.surface.at({12, 11, 10}).log_ratio == doctest::Approx(0.2 * 31.6228 / 32.1228).epsilon(1e-3));
  CHECK(fit.surface.at({13, 11, 10}).outside);
}

TEST_CASE("the order of rows does not matter, and points stay few") {
  const auto truth = [](const ShapePoint& x, int) { return 0.02 * (x[0] - 12) * (x[1] - 11); };
  std::vector<RatioAt> all = rows(3000, truth);
  const SurfaceFit fit = fit_surface(all, kAxes);
  CHECK(fit.surface.parts().points.size() <= 256);
  std::reverse(all.begin(), all.end());
  const SurfaceFit again = fit_surface(all, kAxes);
  for (const RatioAt& row : rows(20, truth))
    CHECK(fit.surface.at(row.at).log_ratio == doctest::Approx(again.surface.at(row.at).log_ratio));
}

TEST_CASE("the hash spreads neighbours") {
  int low = 0;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t hash = hash_of("gemm " + std::to_string(i));
    seen.insert(hash);
    low += static_cast<double>(hash >> 11U) * 0x1p-53 < 0.3 ? 1 : 0;
  }
  CHECK(seen.size() == 10000);
  CHECK(low > 2850);  // 3000 +- 3 x sqrt(10000 x 0.3 x 0.7) = 137
  CHECK(low < 3150);
}
