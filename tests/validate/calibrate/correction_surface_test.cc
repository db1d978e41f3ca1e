#include "hwmodels/correction_surface.h"

#include <cmath>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {
CorrectionSurface::Parts two_axes() {
  CorrectionSurface::Parts parts;
  parts.axes = {{"log2 m", 10, 14}, {"log2 k", 8, 12}};
  return parts;
}
}  // namespace

TEST_CASE("a surface without anything corrects nothing") {
  const CorrectionSurface surface(two_axes());
  CHECK(surface.at({11, 9}).log_ratio == 0);
  CHECK_FALSE(surface.at({11, 9}).outside);
}

TEST_CASE("a trend has a constant, slopes and squares around its centre") {
  CorrectionSurface::Parts parts = two_axes();
  parts.centre = {12, 10};
  parts.trend = {0.1, 0.02, -0.03};
  // 0.1 + 0.02 x 1 - 0.03 x (-1)
  CHECK(CorrectionSurface(parts).at({13, 9}).log_ratio == doctest::Approx(0.15));
  parts.trend = {0, 0, 0, 0.5, 0.25, 0.125};  // c_00, c_01, c_11
  // 0.5 x 1 + 0.25 x 1 x (-1) + 0.125 x 1
  CHECK(CorrectionSurface(parts).at({13, 9}).log_ratio == doctest::Approx(0.375));
}

TEST_CASE("a point adds its height, a quarter of it at its width") {
  CorrectionSurface::Parts parts = two_axes();
  parts.width = 2;
  parts.points = {{.at = {12, 10}, .height = 0.4}};
  const CorrectionSurface surface(parts);
  CHECK(surface.at({12, 10}).log_ratio == doctest::Approx(0.4));
  CHECK(surface.at({14, 10}).log_ratio == doctest::Approx(0.1));
  // Distance^2 = 1 + 1 against width^2 = 4: 0.4 / 1.5^2
  CHECK(surface.at({13, 11}).log_ratio == doctest::Approx(0.4 / 2.25));
}

TEST_CASE("outside of the measured range the correction at the border holds, and says so") {
  CorrectionSurface::Parts parts = two_axes();
  parts.centre = {12, 10};
  parts.trend = {0, 0.1, 0};
  const CorrectionSurface surface(parts);
  CHECK(surface.at({14, 10}).log_ratio == doctest::Approx(0.2));
  CHECK_FALSE(surface.at({14, 10}).outside);
  CHECK(surface.at({20, 10}).log_ratio == doctest::Approx(0.2));
  CHECK(surface.at({20, 10}).outside);
  CHECK(surface.at({20, 30}).log_ratio == doctest::Approx(0.2));
  CHECK_FALSE(surface.at({14.01, 10}).outside);  // a rounding
}

TEST_CASE("inside the box but far from every measured place is outside too") {
  CorrectionSurface::Parts parts;
  parts.axes = {{"log2 m", 0, 20}, {"log2 k", 0, 20}};
  parts.points = {{.at = {0, 0}, .height = 0}, {.at = {20, 20}, .height = 0}};
  const CorrectionSurface surface(parts);
  CHECK_FALSE(surface.at({2, 2}).outside);  // sqrt(8) octaves away
  CHECK(surface.at({3, 3}).outside);        // sqrt(18)
  CHECK(surface.at({10, 10}).outside);
}

TEST_CASE("many points are summed as few are") {
  CorrectionSurface::Parts parts = two_axes();
  parts.width = 1;
  double expected = 0;
  for (int i = 0; i < 150; ++i) {
    const double x = 10 + 4.0 * i / 150, height = 0.01 * (i % 7);
    parts.points.push_back({.at = {x, 10}, .height = height});
    expected += height / std::pow(1 + (x - 11.5) * (x - 11.5), 2);
  }
  CHECK(CorrectionSurface(parts).at({11.5, 10}).log_ratio == doctest::Approx(expected));
}
