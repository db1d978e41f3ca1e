#include "planner/fault_report.h"

#include <utility>

#include "planner/report.h"

namespace foretrain {

FaultReport fault_report(const Problem& problem, const Plan& plan, bool unfold) {
  Problem other = problem;
  other.cluster.faults.clear();
  const auto step = [&] { return evaluate(other, plan, {.even_if_too_big = true, .unfold = unfold}).step; };
  FaultReport report{.healthy_step = step(), .faults = {}};
  for (const Fault& fault : problem.cluster.faults) {
    other.cluster.faults = {fault};
    FaultCost cost{.name = fault.name, .share = fault.share, .cost = step() - report.healthy_step, .slows = {}};
    cost.slows = slow_groups(plan, GroupHealth(other.cluster));
    report.faults.push_back(std::move(cost));
  }
  return report;
}

}  // namespace foretrain
