#include "planner/judge.h"

#include <algorithm>

#include "planner/launch_rules.h"
#include "planner/long_step.h"
#include "planner/plan_replicas.h"

namespace foretrain {

Judge::Judge(const Problem& problem) : problem_(problem), framework_(framework_spec(problem)) {
  if (!problem.cluster.faults.empty()) replicas_ = std::make_unique<PlanReplicas>(problem);
}

Judge::~Judge() = default;

const std::shared_ptr<const BlockCosts>& Judge::blocks(const Plan& plan) {
  const BlockShape shape = block_shape(problem_, plan);
  if (!blocks_ || !(blocks_->shape == shape))
    blocks_ = std::make_shared<const BlockCosts>(block_costs(problem_, shape, framework_));
  return blocks_;
}

PlanCosts Judge::costs(const Plan& plan) { return plan_costs(problem_, plan, blocks(plan), framework_); }

Judgement Judge::judge(const Plan& plan, bool bound_all) {
  Judgement j;
  j.rejection = break_of_rule(problem_, plan);
  if (j.rejection) return j;
  if (problem_.trainer) j.rejection = break_of_launch_rule(*problem_.trainer, problem_, plan);
  if (j.rejection) return j;
  j.rejection = break_of_time(problem_, plan, *blocks(plan));
  if (j.rejection) return j;
  const PlanCosts c = costs(plan);
  std::int64_t most = 0;
  for (std::int32_t s = 0; s < plan.pipeline; ++s)
    most = std::max(most, stage_memory(problem_, plan, c, moments_, s).total);
  j.peak = most;
  const double excess = static_cast<double>(most) - memory_limit(problem_.cluster.gpu).base();
  if (excess > 0) {
    j.rejection = Rejection{
        .reason = RejectionReason::memory, .rule = "a stage needs more memory than the GPU has", .excess = excess};
    if (!bound_all) return j;
  }
  j.bound = step_bound(plan, c);
  if (!replicas_) return j;
  // No faulty replica is done sooner with others to wait for.
  for (const SimulatedReplica& r : replicas_->of(plan, blocks(plan), framework_))
    j.bound = std::max(j.bound, step_bound(plan, *r.costs));
  return j;
}

Picoseconds Judge::step_time(const Plan& plan) {
  if (!replicas_) return foretrain::step_time(problem_, plan, costs(plan), moments_);
  return foretrain::step_time(problem_, plan, replicas_->of(plan, blocks(plan), framework_), moments_);
}

}  // namespace foretrain
