/// Why a plan takes as long as it does, and what would have to change: everything that `foretrain explain` says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/contrast.h"
#include "planner/critical_chain.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain {

/// What 1 % more of a resource does to the step.
struct Elasticity {
  Resource resource = Resource::peak_flops;
  double change = 0;              ///< of the step, as a fraction: -0.0093
  std::optional<Plan> replanned;  ///< the plan that has it, where that is another one (memory)
};

/// A job of another size, in which `other` is the faster plan.
struct OtherSize {
  std::string what;  ///< "global_batch", "gpus"
  std::int64_t value = 0;
  Seconds own, other;
};

struct ExplainRequest {
  Plan plan;
  std::optional<Plan> against;
  /// Searches with 1 % more memory for the memory's elasticity; otherwise it is the plan's own, 0.
  bool search_again = false;
  std::int32_t threads = 0;  ///< of that search; 0 = all cores
};

struct Explanation {
  PlanReport report;                     ///< of the plan
  std::optional<PlanReport> against;     ///< of the other one
  std::optional<Contrast> time, memory;  ///< with both simulated
  CriticalChain chain;
  Picoseconds chain_time;                ///< the step, or of a very long one the shorter step that stands for it
  std::vector<Elasticity> elasticities;  ///< one a resource, in their order
  bool searched_again = false;           ///< with 1 % more memory
  std::vector<Trouble> troubles;
  std::vector<BreakEven> break_evens;  ///< for the slower plan of the two to win
  std::vector<OtherSize> other_sizes;
};

/// Everything by simulating again. A plan that lacks memory is explained too; of one that breaks a rule only `report`
/// is filled in.
Explanation explain_plan(const Problem& problem, const ExplainRequest& request);

}  // namespace foretrain
