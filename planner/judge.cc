#include "planner/judge.h"

#include <algorithm>

namespace foretrain {

Judge::Judge(const Problem& problem) : problem_(problem), framework_(framework_spec(problem)) {}

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
  return j;
}

}  // namespace foretrain
