#include "validate/simplex.h"

#include <cmath>

#include <doctest/doctest.h>

using namespace foretrain;

TEST_CASE("the least of Rosenbrock's valley is found at (1, 1)") {
  const auto valley = [](const std::vector<double>& x) {
    return 100 * std::pow(x[1] - x[0] * x[0], 2) + std::pow(1 - x[0], 2);
  };
  const auto x = minimise(valley, {-1.2, 1}, {.step = 0.5, .evaluations = 4000, .restarts = 3});
  CHECK(x[0] == doctest::Approx(1).epsilon(1e-3));
  CHECK(x[1] == doctest::Approx(1).epsilon(1e-3));
}

TEST_CASE("a sum of absolute errors, which has no derivative at its least, is minimised to the median") {
  const auto loss = [](const std::vector<double>& x) {
    double sum = 0;
    for (const double v : {1.0, 2.0, 3.0, 10.0, 50.0}) sum += std::abs(x[0] - v);
    return sum;
  };
  CHECK(minimise(loss, {40})[0] == doctest::Approx(3).epsilon(1e-3));
}

TEST_CASE("the same input gives the same bytes, and no parameters are returned as they are") {
  const auto bowl = [](const std::vector<double>& x) { return x[0] * x[0] + 3 * x[1] * x[1]; };
  CHECK(minimise(bowl, {2, 3}) == minimise(bowl, {2, 3}));
  CHECK(minimise([](const std::vector<double>&) { return 1.0; }, {}).empty());
}
