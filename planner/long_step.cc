#include "planner/long_step.h"

#include "planner/lower.h"
#include "sim/simulator.h"

namespace foretrain {
namespace {

/// Beyond, a step of some plan takes seconds to simulate. Real steps have fewer: 4096 sequences a replica.
constexpr std::int32_t kMostSimulated = 4096;
/// Many times the passes that fill any pipeline (stages x chunks, of which there are not more than layers).
constexpr std::int32_t kShorter = 1024;

}  // namespace

std::optional<StandIns> stand_ins(const Plan& plan, std::int32_t micro_batches) {
  if (micro_batches <= kMostSimulated) return std::nullopt;
  // Interleaving runs as many micro-batches as there are stages through a chunk before the next: whole rounds.
  const std::int32_t rounds = (kShorter + plan.pipeline - 1) / plan.pipeline;
  const StandIns s{.shorter = rounds * plan.pipeline, .longer = 2 * rounds * plan.pipeline};
  if (s.longer >= micro_batches) return std::nullopt;
  return s;
}

Picoseconds on_line(const StandIns& s, Picoseconds at_shorter, Picoseconds at_longer, std::int32_t micro_batches) {
  const std::int64_t span = s.longer - s.shorter, beyond = micro_batches - s.longer;
  const std::int64_t slope = (at_longer - at_shorter).count;
  const std::int64_t rest = beyond % span;
  return {at_longer.count + beyond / span * slope + rest * (slope / span) + rest * (slope % span) / span};
}

double on_line(const StandIns& s, double at_shorter, double at_longer, std::int32_t micro_batches) {
  return at_longer + static_cast<double>(micro_batches - s.longer) / (s.longer - s.shorter) * (at_longer - at_shorter);
}

PlanCosts with_micro_batches(const PlanCosts& costs, std::int32_t micro_batches) {
  PlanCosts other = costs;
  other.micro_batches = micro_batches;
  return other;
}

std::vector<SimulatedReplica> with_micro_batches(std::span<const SimulatedReplica> replicas,
                                                 std::int32_t micro_batches) {
  std::vector<SimulatedReplica> others(replicas.begin(), replicas.end());
  for (SimulatedReplica& r : others)
    r.costs = std::make_shared<const PlanCosts>(with_micro_batches(*r.costs, micro_batches));
  return others;
}

namespace {

/// `simulated(n)`: the time of a step of n micro-batches.
template <class Simulated>
Picoseconds time_of(const Plan& plan, std::int32_t micro_batches, Simulated simulated) {
  const std::optional<StandIns> s = stand_ins(plan, micro_batches);
  if (!s) return simulated(micro_batches);
  return on_line(*s, simulated(s->shorter), simulated(s->longer), micro_batches);
}

Picoseconds makespan(const StepGraph& step) {
  return sim::simulate(step.graph, {.memory = false, .releases = false}).makespan;
}

}  // namespace

Picoseconds step_time(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments) {
  return time_of(plan, costs.micro_batches, [&](std::int32_t n) {
    if (n == costs.micro_batches) return makespan(lower(problem, plan, costs, moments, {.memory = false}));
    return makespan(lower(problem, plan, with_micro_batches(costs, n), moments, {.memory = false}));
  });
}

Picoseconds step_time(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas,
                      PeakMoments& moments) {
  const std::int32_t all = replicas.front().costs->micro_batches;
  return time_of(plan, all, [&](std::int32_t n) {
    if (n == all) return makespan(lower(problem, plan, replicas, moments, {.memory = false}));
    return makespan(lower(problem, plan, with_micro_batches(replicas, n), moments, {.memory = false}));
  });
}

}  // namespace foretrain
