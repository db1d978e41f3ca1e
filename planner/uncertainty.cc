#include "planner/uncertainty.h"

#include <cmath>
#include <string_view>

#include "planner/report.h"

namespace foretrain {
namespace {

constexpr double kDecile = 1.2816;  // standard deviations from the mean to the 10th or 90th percentile, normal

/// Below this many runs a trainer's own residuals say less than those of all.
constexpr std::int64_t kEnoughRuns = 10;

}  // namespace

const StepResidual& residual_of(const ResidualSpec& residuals, const std::string& key) {
  const auto found = residuals.steps.find(key);
  return found != residuals.steps.end() && found->second.rows >= kEnoughRuns ? found->second : residuals.any_step;
}

std::string residual_key(const Software& software, Precision precision) {
  const bool narrow = precision == Precision::fp8 || precision == Precision::mxfp8 || precision == Precision::nvfp4;
  return std::string(kFrameworkNames[static_cast<std::size_t>(software.framework)]) + (narrow ? " fp8" : "");
}

double carried_log_sd(const ResidualSpec& residuals, const std::string& gpu, const std::vector<TimePart>& time) {
  double kernels = 0, collectives = 0, whole = 0;
  for (const TimePart& part : time) {
    const std::string_view name = part.name;
    if (name == "pipeline_bubble" || name == "idle") continue;
    whole += part.time.base();
    if (name.ends_with("_exposed"))
      collectives += part.time.base();
    else if (name != "host")
      kernels += part.time.base();
  }
  if (whole <= 0) return 0;
  return std::hypot(kernels / whole * log_sd_of(residuals.kernels, gpu),
                    collectives / whole * log_sd_of(residuals.collectives, gpu));
}

StepInterval step_interval(const Problem& problem, const std::vector<TimePart>& time, Seconds step) {
  if (problem.residuals == nullptr) return {step, step};
  const ResidualSpec& residuals = *problem.residuals;
  const StepResidual& trainer = residual_of(residuals, residual_key(problem.software, problem.training.precision));
  const double carried = carried_log_sd(residuals, problem.cluster.gpu.name, time);
  const double width = std::hypot(kDecile * carried, trainer.log_width);
  return {step * std::exp(trainer.log_bias - width), step * std::exp(trainer.log_bias + width)};
}

bool within_noise(const ResidualSpec& residuals, Seconds step, Seconds other) {
  return std::abs(std::log(step / other)) < kDecile * std::sqrt(2.0) * residuals.ranking.log_sd;
}

}  // namespace foretrain
