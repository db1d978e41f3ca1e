/// The error bar of a predicted step: what the residuals of its kernels, its collectives and its trainer add up to.
#pragma once

#include <vector>

#include "base/units.h"
#include "hwmodels/residuals.h"
#include "planner/job.h"
#include "planner/problem.h"

namespace foretrain {

struct TimePart;

/// 10th and 90th percentile of the step that a run is expected to measure. The prediction itself may lie near an end:
/// a trainer whose runs were mostly slower than predicted has its interval above.
struct StepInterval {
  Seconds low, high;
};

/// The key of a trainer's row in ResidualSpec::steps: "megatron-core", "megatron-core fp8".
std::string residual_key(const Software& software, Precision precision);

/// The row of ResidualSpec::steps for `key`, or any_step where there are fewer than ten runs.
const StepResidual& residual_of(const ResidualSpec& residuals, const std::string& key);

/// Spread of log(step) that the spread of the step's kernels and collectives carries into it. A kind's kernels err
/// together, so its spread counts by its share of the step; bubbles and idle time are made of the rest and scale with
/// it. Where `gpu` has no rows, the widest known spread stands in.
double carried_log_sd(const ResidualSpec& residuals, const std::string& gpu, const std::vector<TimePart>& time);

/// exp(bias -+ sqrt((1.2816 carried)^2 + width^2)) times `step`, with the trainer's bias and width.
StepInterval step_interval(const Problem& problem, const std::vector<TimePart>& time, Seconds step);

/// True when runs could well show the two plans of one job in the other order: their steps are closer than the
/// 80 % interval of the difference of two plans' own errors.
bool within_noise(const ResidualSpec& residuals, Seconds step, Seconds other);

}  // namespace foretrain
