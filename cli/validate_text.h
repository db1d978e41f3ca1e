/// What would be measured of a plan, and what was, as text and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/report.h"
#include "validate/comparison.h"
#include "validate/device/distinct_work.h"
#include "validate/device/measured.h"

namespace foretrain::cli {

/// What `foretrain validate` is about to run.
struct ValidationPlan {
  const Problem* problem = nullptr;
  const PlanReport* report = nullptr;
  std::vector<DistinctWork> works;
  std::optional<std::int64_t> rank;  ///< the one that runs; none: all
  std::int32_t stage = 0;            ///< of that rank
  Seconds step;                      ///< predicted, of what runs
  std::int64_t step_memory = 0;      ///< bytes on the fullest GPU that runs
  bool step_fits = true;
  bool kernels = true, collectives = true, steps = true;
  int samples = 20, step_samples = 3;
};

/// Seconds that each mode would take, all in all.
struct MeasuringTimes {
  Seconds kernels, collectives, steps;
};
MeasuringTimes measuring_times(const ValidationPlan& v);

std::string dry_run_text(const ValidationPlan& v);
std::string dry_run_json(const ValidationPlan& v);

/// What was found wrong in parallel execution; "" when nothing was checked.
std::string checks_text(const std::vector<MeasuredCheck>& checks);

/// The comparison as `compare --format json` writes it, with the GPU, the rank that ran, and the checks.
std::string validation_json(const ValidationPlan& v, const MeasuredRun& run, const Comparison& comparison);

}  // namespace foretrain::cli
