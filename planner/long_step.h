/// Steps of so many micro-batches that simulating every pass would take minutes: two shorter ones stand for them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "planner/lower.h"
#include "planner/pass_memory.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"

namespace foretrain {

/// Two steps of the same plan with fewer micro-batches. Once a pipeline is full every round of micro-batches takes as
/// long as the one before, so that what a step of m micro-batches takes is linear in m:
///
///     t(m) = t(longer) + (m - longer) / (longer - shorter) (t(longer) - t(shorter))
///
/// and so is every part of it.
struct StandIns {
  std::int32_t shorter = 0, longer = 0;  ///< micro-batches, multiples of the pipeline's stages
};

/// What stands for a step of `micro_batches`; nothing up to 4096, which are simulated one by one.
std::optional<StandIns> stand_ins(const Plan& plan, std::int32_t micro_batches);

/// The line through `at_shorter` and `at_longer`, at `micro_batches`.
Picoseconds on_line(const StandIns& s, Picoseconds at_shorter, Picoseconds at_longer, std::int32_t micro_batches);
double on_line(const StandIns& s, double at_shorter, double at_longer, std::int32_t micro_batches);

/// `costs` of a step of other length.
PlanCosts with_micro_batches(const PlanCosts& costs, std::int32_t micro_batches);
std::vector<SimulatedReplica> with_micro_batches(std::span<const SimulatedReplica> replicas,
                                                 std::int32_t micro_batches);

/// The simulated time of a step.
Picoseconds step_time(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments);
/// The same of replicas that differ.
Picoseconds step_time(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas,
                      PeakMoments& moments);

}  // namespace foretrain
