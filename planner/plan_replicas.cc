#include "planner/plan_replicas.h"

#include <map>

#include <fmt/format.h>

namespace foretrain {

PlanReplicas::PlanReplicas(const Problem& problem, bool unfolds) : problem_(problem) {
  if (unfolds || !problem.cluster.faults.empty()) groups_ = std::make_unique<GroupHealth>(problem.cluster, unfolds);
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

std::shared_ptr<const PlanCosts> PlanReplicas::costs_of(const Plan& plan, ReplicaHealth health,
                                                        const std::shared_ptr<const BlockCosts>& blocks,
                                                        const FrameworkSpec& framework) {
  const bool healthy = is_healthy(health);
  for (StageHealth& stage : health.stages) stage.blocks = blocks_of(stage.cell, blocks, framework);
  return std::make_shared<const PlanCosts>(plan_costs(problem_, plan, blocks, framework, healthy ? nullptr : &health));
}

std::vector<SimulatedReplica> PlanReplicas::ranks_of(const Plan& plan, const std::shared_ptr<const BlockCosts>& blocks,
                                                     const FrameworkSpec& framework) {
  std::map<std::vector<double>, std::shared_ptr<const PlanCosts>> known;
  std::vector<SimulatedReplica> ranks;
  for (const RankPipeline& p : rank_pipelines(plan, *groups_)) {
    std::shared_ptr<const PlanCosts>& costs = known[signature(p.health)];
    if (costs == nullptr) costs = costs_of(plan, p.health, blocks, framework);
    ranks.push_back({.costs = costs,
                     .name = "",
                     .ranks = 1,
                     .shard_gang = p.shard_gang,
                     .replica_gang = p.replica_gang,
                     .cell = p.cell,
                     .first_rank = p.first_rank});
  }
  return ranks;
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
    const auto count = static_cast<std::int64_t>(c.replicas.size());
    const std::string name = fmt::format("replica {}{}", c.replicas.front(),
                                         count > 1 ? fmt::format(" and {} alike", count - 1) : std::string());
    replicas.push_back({.costs = costs_of(plan, c.health, blocks, framework),
                        .name = found.size() > 1 ? name : "",
                        .ranks = ranks * count,
                        .shard_gang = c.shard_gang});
  }
  return replicas;
}

}  // namespace foretrain
