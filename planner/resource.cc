#include "planner/resource.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "hwmodels/node_routes.h"
#include "planner/judge.h"
#include "planner/launch_rules.h"
#include "planner/legality.h"
#include "planner/long_step.h"
#include "planner/memory.h"

namespace foretrain {

namespace {
/// The node of a topology file, whose routes hold its NICs' rates.
std::shared_ptr<const NodeMap> with_faster_nics(NodeMap map, double efficiency, double factor) {
  for (const std::int32_t nic : map.nics) map.parts[static_cast<std::size_t>(nic)].rate *= factor;
  map.routes = all_group_routes(map, efficiency);
  return std::make_shared<const NodeMap>(std::move(map));
}
}  // namespace

ClusterSpec scaled(ClusterSpec cluster, Resource resource, double factor) {
  switch (resource) {
    case Resource::peak_flops:
      for (std::optional<FlopsPerSecond>& rate : cluster.gpu.peak)
        if (rate) rate = factor * *rate;
      break;
    case Resource::hbm_bandwidth:
      cluster.gpu.memory_bandwidth *= factor;
      break;
    case Resource::nvlink_bandwidth:
      cluster.gpu.scale_up_bandwidth *= factor;
      cluster.node.scale_up_bandwidth *= factor;
      break;
    case Resource::nic_bandwidth:
      cluster.node.nic_bandwidth *= factor;
      cluster.network.host_bandwidth *= factor;
      if (cluster.node.map) cluster.node.map = with_faster_nics(*cluster.node.map, cluster.network.efficiency, factor);
      break;
    case Resource::network_latency:
      cluster.network.latency *= factor;
      break;
    case Resource::memory:
      cluster.gpu.memory *= factor;
      break;
  }
  return cluster;
}

Problem scaled(Problem problem, Resource resource, double factor) {
  problem.cluster = scaled(std::move(problem.cluster), resource, factor);
  return problem;
}

Outcome outcome(const Problem& problem, const Plan& plan) {
  Outcome o;
  o.rejection = break_of_rule(problem, plan);
  if (!o.rejection && problem.trainer) o.rejection = break_of_launch_rule(*problem.trainer, problem, plan);
  if (o.rejection) return o;
  const FrameworkSpec framework = framework_spec(problem);
  const auto blocks = std::make_shared<const BlockCosts>(block_costs(problem, block_shape(problem, plan), framework));
  o.rejection = break_of_time(problem, plan, *blocks);
  if (o.rejection) return o;
  const PlanCosts costs = plan_costs(problem, plan, blocks, framework);
  PeakMoments moments;
  std::int64_t most = 0;
  for (std::int32_t s = 0; s < plan.pipeline; ++s)
    most = std::max(most, stage_memory(problem, plan, costs, moments, s).total);
  o.peak_memory = static_cast<double>(most) * bytes;
  const Bytes excess = o.peak_memory - memory_limit(problem.cluster.gpu);
  if (excess > Bytes{})
    o.rejection = Rejection{.reason = RejectionReason::memory,
                            .rule = "a stage needs more memory than the GPU has",
                            .excess = excess.base()};
  o.step = to_seconds(problem.cluster.faults.empty() ? step_time(problem, plan, costs, moments)
                                                     : Judge(problem).step_time(plan));
  return o;
}

double elasticity(const Problem& problem, const Plan& plan, Resource resource) {
  if (resource == Resource::memory) return 0;
  constexpr double more = 1.01;
  return outcome(scaled(problem, resource, more), plan).step / outcome(problem, plan).step - 1;
}

namespace {

constexpr double kReach = 16, kPrecision = 1.01;

class Contest {
 public:
  Contest(const Problem& problem, const Plan& own, const Plan& other, Resource resource)
      : problem_(problem), own_(own), other_(other), resource_(resource) {}

  [[nodiscard]] BreakEven at(double factor) const {
    const Problem changed = scaled(problem_, resource_, factor);
    return {.resource = resource_,
            .factor = factor,
            .own = outcome(changed, own_).step,
            .other = outcome(changed, other_).step};
  }

  /// Goes on by `stride` (2 or 1/2) until the other one leads, then halves the last stride.
  [[nodiscard]] std::optional<BreakEven> first_lead(double stride) const {
    double behind = 1;
    for (double ahead = stride; std::max(ahead, 1 / ahead) <= kReach; ahead *= stride) {
      BreakEven found = at(ahead);
      if (found.other < found.own) return narrowed(behind, found);
      behind = ahead;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] BreakEven narrowed(double behind, BreakEven found) const {
    while (std::max(found.factor / behind, behind / found.factor) > kPrecision) {
      const BreakEven middle = at(std::sqrt(behind * found.factor));
      if (middle.other < middle.own) {
        found = middle;
      } else {
        behind = middle.factor;
      }
    }
    return found;
  }

  const Problem& problem_;
  const Plan& own_;
  const Plan& other_;
  Resource resource_;
};

}  // namespace

std::vector<BreakEven> break_even(const Problem& problem, const Plan& own, const Plan& other, Resource resource) {
  std::vector<BreakEven> found;
  if (resource == Resource::memory) {
    const Outcome a = outcome(problem, own), b = outcome(problem, other);
    const double limit = memory_limit(problem.cluster.gpu).base();
    if (b.peak_memory < a.peak_memory && a.runs())
      found.push_back({resource, a.peak_memory.base() / limit, a.step, b.step});
    return found;
  }
  const Contest contest(problem, own, other, resource);
  for (const double stride : {2.0, 0.5})
    if (const std::optional<BreakEven> b = contest.first_lead(stride)) found.push_back(*b);
  return found;
}

}  // namespace foretrain
