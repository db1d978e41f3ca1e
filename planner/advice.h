/// What to try next: changes to a job or its plan, each with its effect found by simulating again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "planner/report.h"

namespace foretrain {

/// One change. Nothing is searched again: the plan is the one that was asked about, changed as `assumed` says.
struct Advice {
  std::string_view kind;  ///< "global_batch", "gpus", "memory", "precision", or a trouble's name
  std::string change;     ///< "a batch of 2048 sequences"
  std::string assumed;    ///< "the same plan, twice the micro-batches"
  Plan plan;
  Seconds step;
  double step_change = 0;     ///< of the step, as a fraction: -0.32
  double per_gpu_change = 0;  ///< of tokens/s/GPU
  Bytes lacks;                ///< memory a GPU that the change needs beyond what it has; 0: it fits
};

/// Twice the batch; twice the GPUs in twice the replicas; the fastest neighbour of the plan that lacks memory (as
/// much again at most); fp8
/// where the GPU has it and the job runs in 16 bits; and what the plan's known troubles propose. The first two are
/// always there (where the plan stays legal), the others when they make the step 1 % shorter. At most some 40 steps are
/// simulated; of steps with more than 20,000 passes, 20.
std::vector<Advice> advice(const Problem& problem, const PlanReport& report);

/// Plans that differ from `plan` in one choice that costs memory: less recomputation, twice the micro-batch, half the
/// tensor or pipeline degree with twice the replicas, a lower ZeRO stage. Some may be illegal.
std::vector<Plan> costlier_neighbours(const Plan& plan);

}  // namespace foretrain
