/// A lower bound on a plan's step, in closed form: what lets the search discard a plan without simulating it.
#pragma once

#include "base/time_point.h"
#include "planner/plan_cost.h"

namespace foretrain {

/// Never above the simulated step of the same costs. With f, b a pass's GPU time, M micro-batches, x a message:
///
///     head_s + M sum_chunks (f + b) + tail_s  for the worst stage s,  then what must follow the last backward pass
///
/// head_s: the first micro-batch's forward passes and messages before stage s can begin. tail_s: the last one's
/// backward passes and messages from stage s back to stage 0. Then: the last gradient bucket, norm, optimizer,
/// parameter gathers. The data lane's own work is a second bound. Derivation: docs/models/bound.md.
Picoseconds step_bound(const Plan& plan, const PlanCosts& costs);

}  // namespace foretrain
