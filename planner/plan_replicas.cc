#include "planner/plan_replicas.h"

#include <fmt/format.h>

namespace foretrain {

PlanReplicas::PlanReplicas(const Problem& problem) : problem_(problem) {
  if (!problem.cluster.faults.empty()) groups_ = std::make_unique<GroupHealth>(problem.cluster);
}

const std::vector<ReplicaClass>& PlanReplicas::classes(const Plan& plan) {
  const Degrees degrees{plan.tensor,
                        plan.pipeline,
                        plan.data,
                        plan.context,
                        plan.zero_stage == 0 ? 0 : shard_ranks(plan),
                        plan.virtual_pipeline > 1};
  if (classes_.empty() || degrees != degrees_) classes_ = replica_classes(plan, *groups_);
  degrees_ = degrees;
  return classes_;
}

std::shared_ptr<const BlockCosts> PlanReplicas::blocks_of(const CellHealth& cell,
                                                          const std::shared_ptr<const BlockCosts>& healthy,
                                                          const FrameworkSpec& framework) {
  if (cell == CellHealth{}) return healthy;
  if (healthy_blocks_ != healthy) slow_blocks_.clear();
  healthy_blocks_ = healthy;
  for (const auto& [known, blocks] : slow_blocks_)
    if (known == cell) return blocks;
  slow_blocks_.emplace_back(cell,
                            std::make_shared<const BlockCosts>(block_costs(problem_, healthy->shape, framework, cell)));
  return slow_blocks_.back().second;
}

std::vector<SimulatedReplica> PlanReplicas::of(const Plan& plan, const std::shared_ptr<const BlockCosts>& blocks,
                                               const FrameworkSpec& framework) {
  const std::int64_t ranks = std::int64_t{plan.tensor} * plan.context;
  if (groups_ == nullptr)
    return {{.costs = std::make_shared<const PlanCosts>(plan_costs(problem_, plan, blocks, framework)),
             .name = "",
             .ranks = ranks * plan.data}};
  const std::vector<ReplicaClass>& found = classes(plan);
  std::vector<SimulatedReplica> replicas;
  for (const ReplicaClass& c : found) {
    ReplicaHealth health = c.health;
    for (StageHealth& stage : health.stages) stage.blocks = blocks_of(stage.cell, blocks, framework);
    const auto count = static_cast<std::int64_t>(c.replicas.size());
    const std::string name = fmt::format("replica {}{}", c.replicas.front(),
                                         count > 1 ? fmt::format(" and {} alike", count - 1) : std::string());
    replicas.push_back({.costs = std::make_shared<const PlanCosts>(
                            plan_costs(problem_, plan, blocks, framework, c.healthy() ? nullptr : &health)),
                        .name = found.size() > 1 ? name : "",
                        .ranks = ranks * count,
                        .shard_gang = c.shard_gang});
  }
  return replicas;
}

}  // namespace foretrain
