#include "planner/uncertainty.h"

#include <cmath>

#include <doctest/doctest.h>

#include "planner/report.h"

namespace foretrain {
namespace {

ResidualSpec residuals() {
  ResidualSpec r;
  r.kernels = {{"a100-sxm4-80gb", {100, 0.04}}, {"h100-sxm5-80gb", {100, 0.08}}};
  r.collectives = {{"a100-sxm4-80gb", {100, 0.3}}};
  r.steps = {{"megatron-core", {50, 0.1, 0.05}}, {"megatron-core fp8", {3, 0.9, 0.9}}};
  r.any_step = {500, 0.02, 0.2};
  r.ranking = {80, 0.05};
  return r;
}

std::vector<TimePart> parts(double compute, double exposed, double bubble) {
  return {{"compute", compute * seconds}, {"tensor_exposed", exposed * seconds}, {"pipeline_bubble", bubble * seconds}};
}

Problem problem_with(Precision precision, const std::string& gpu) {
  Problem p;
  p.residuals = std::make_shared<const ResidualSpec>(residuals());
  p.training.precision = precision;
  p.cluster.gpu.name = gpu;
  return p;
}

}  // namespace

TEST_CASE("kernels and collectives count by their share of what is no bubble") {
  // 6 s of 8 s are kernels, 2 s collectives: hypot(0.75 0.04, 0.25 0.3) = hypot(0.03, 0.075).
  const double expected = std::sqrt(0.03 * 0.03 + 0.075 * 0.075);
  CHECK(carried_log_sd(residuals(), "a100-sxm4-80gb", parts(6, 2, 0)) == doctest::Approx(expected));
  CHECK(carried_log_sd(residuals(), "a100-sxm4-80gb", parts(6, 2, 5)) == doctest::Approx(expected));
  CHECK(carried_log_sd(residuals(), "a100-sxm4-80gb", {}) == 0);
}

TEST_CASE("a GPU without rows has the widest spread known") {
  CHECK(carried_log_sd(residuals(), "mi300x-192gb", parts(1, 0, 0)) == doctest::Approx(0.08));
  CHECK(carried_log_sd(residuals(), "mi300x-192gb", parts(0, 1, 0)) == doctest::Approx(0.3));
}

TEST_CASE("the interval is the trainer's, widened by what the parts carry") {
  const StepInterval i = step_interval(problem_with(Precision::bf16, "a100-sxm4-80gb"), parts(10, 0, 0), 10 * seconds);
  const double width = std::sqrt(std::pow(1.2816 * 0.04, 2) + 0.05 * 0.05);
  CHECK(i.low.base() == doctest::Approx(10 * std::exp(0.1 - width)));
  CHECK(i.high.base() == doctest::Approx(10 * std::exp(0.1 + width)));
}

TEST_CASE("a trainer with few runs takes what all runs have in common") {
  const StepInterval i = step_interval(problem_with(Precision::fp8, "h100-sxm5-80gb"), parts(10, 0, 0), 10 * seconds);
  const double width = std::sqrt(std::pow(1.2816 * 0.08, 2) + 0.2 * 0.2);
  CHECK(i.high.base() == doctest::Approx(10 * std::exp(0.02 + width)));
  Problem without = problem_with(Precision::bf16, "h100-sxm5-80gb");
  without.residuals = nullptr;
  CHECK(step_interval(without, parts(10, 0, 0), 10 * seconds).high == 10 * seconds);
}

TEST_CASE("plans closer than the noise of their difference are not told apart") {
  // 1.2816 sqrt(2) 0.05 = 0.0906: 9.5 % apart.
  CHECK(within_noise(residuals(), 10.9 * seconds, 10 * seconds));
  CHECK(within_noise(residuals(), 10 * seconds, 10.9 * seconds));
  CHECK_FALSE(within_noise(residuals(), 11 * seconds, 10 * seconds));
}

}  // namespace foretrain
