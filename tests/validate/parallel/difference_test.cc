#include "validate/parallel/difference.h"

#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

using namespace foretrain::parallel;

TEST_CASE("an error counts relative to the largest wanted number") {
  Difference difference;
  // |1.5 - 1| = 0.5 of a largest 10, with 0.1 allowed: half of what may be.
  difference.compare("x", std::vector<float>{1.5F, -10.0F}, std::vector<double>{1, -10}, 0.1);
  CHECK(difference.worst() == doctest::Approx(0.5));
  CHECK(difference.where() == "x");
  CHECK(difference.compared() == 2);
  CHECK(difference.passed());
  difference.compare("y", std::vector<float>{1.5F}, std::vector<double>{1}, 0.1, 2.5);  // 0.5 of 2.5, 0.1 allowed
  CHECK(difference.worst() == doctest::Approx(2));
  CHECK(difference.where() == "y");
  CHECK_FALSE(difference.passed());
}

TEST_CASE("nothing compared, a NaN, a missing number or a false fact never pass") {
  CHECK_FALSE(Difference().passed());
  Difference with_nan;
  with_nan.compare("nan", std::vector<float>{std::nanf("")}, std::vector<double>{1}, 1e9);
  with_nan.compare("fine", std::vector<float>{1}, std::vector<double>{1}, 1);
  CHECK(std::isinf(with_nan.worst()));
  CHECK(with_nan.where() == "nan");
  Difference short_one;
  short_one.compare("short", std::vector<float>{1}, std::vector<double>{1, 2}, 1e9);
  CHECK(std::isinf(short_one.worst()));
  Difference fact;
  fact.require(true, "holds");
  CHECK(fact.passed());
  fact.require(false, "does not");
  CHECK(fact.where() == "does not");
  Difference merged;
  merged.merge(fact);
  CHECK_FALSE(merged.passed());
}

TEST_CASE("numbers wanted to be zero must be zero unless a scale is given") {
  Difference exact;
  exact.compare("zero", std::vector<float>{0}, std::vector<double>{0}, 1e-6);
  CHECK(exact.worst() == 0);
  exact.compare("not zero", std::vector<float>{1e-30F}, std::vector<double>{0}, 1e-6);
  CHECK(std::isinf(exact.worst()));
  Difference scaled;
  scaled.compare("near zero", std::vector<float>{5e-7F}, std::vector<double>{0}, 1e-6, 1);
  CHECK(scaled.worst() == doctest::Approx(0.5));
}

TEST_CASE("the tolerance grows as the square root of the roundings") {
  // 8 sqrt(100) 2^-24 = 80 / 16777216 = 4.768e-6
  CHECK(rounding_tolerance(100) == doctest::Approx(4.768e-6).epsilon(1e-3));
  CHECK(rounding_tolerance(400) == doctest::Approx(2 * rounding_tolerance(100)));
}
