/// Judging: whether a plan can work, and how fast it can be at best; without simulating it.
#pragma once

#include <memory>
#include <optional>

#include "planner/bound.h"
#include "planner/legality.h"
#include "planner/memory.h"
#include "planner/pass_memory.h"
#include "planner/plan_cost.h"

namespace foretrain {

class PlanReplicas;

struct Judgement {
  std::optional<Rejection> rejection;
  Picoseconds bound;      ///< of a plan that is not rejected
  std::int64_t peak = 0;  ///< bytes of the fullest stage, of a plan that breaks no rule
};

/// Judges plans one after another and remembers what neighbouring plans share. One per thread.
class Judge {
 public:
  explicit Judge(const Problem& problem);
  ~Judge();
  /// A plan that only lacks memory is given its bound too when `bound_all`.
  Judgement judge(const Plan& plan, bool bound_all = false);
  /// Costs of `plan`, as judge() used them; for lowering.
  PlanCosts costs(const Plan& plan);
  PeakMoments& moments() { return moments_; }
  /// The simulated time of `plan`'s step.
  Picoseconds step_time(const Plan& plan);

 private:
  const std::shared_ptr<const BlockCosts>& blocks(const Plan& plan);

  const Problem& problem_;
  FrameworkSpec framework_;
  PeakMoments moments_;
  std::shared_ptr<const BlockCosts> blocks_;  // of the last plan's shape
  std::unique_ptr<PlanReplicas> replicas_;    // on a faulty cluster
};

}  // namespace foretrain
