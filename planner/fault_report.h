/// What the faults of a cluster cost a plan: the same job in full health, with all of them, and with each alone.
#pragma once

#include <string>
#include <vector>

#include "planner/plan_health.h"
#include "planner/problem.h"

namespace foretrain {

struct FaultCost {
  std::string name;  ///< as the job writes it: "node3.nic2"
  double share = 1;  ///< of its healthy speed that the part has
  Seconds cost;      ///< what the step takes longer with this fault alone
  std::vector<SlowGroups> slows;
};
struct FaultReport {
  Seconds healthy_step;
  std::vector<FaultCost> faults;
};

/// Of a plan that can be simulated; `problem` has faults. `unfold`: with every rank by itself.
FaultReport fault_report(const Problem& problem, const Plan& plan, bool unfold = false);

}  // namespace foretrain
