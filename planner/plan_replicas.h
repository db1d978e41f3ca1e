/// The replicas of a plan that must be simulated by themselves: one in full health, more on a faulty cluster.
#pragma once

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "planner/lower.h"
#include "planner/plan_health.h"

namespace foretrain {

/// Makes them plan after plan, and remembers what neighbouring plans share.
class PlanReplicas {
 public:
  explicit PlanReplicas(const Problem& problem, bool unfolds = false);

  /// Costs of the classes of `plan`'s replicas (plan_health.h). `blocks`: block_costs of its shape. The first has the
  /// first replica. Throws SpecError where dead links cut ranks off from each other.
  std::vector<SimulatedReplica> of(const Plan& plan, const std::shared_ptr<const BlockCosts>& blocks,
                                   const FrameworkSpec& framework);

  /// Every rank of `plan` by itself, all with one pipeline of ranks; needs `unfolds`. In order of first_rank.
  std::vector<SimulatedReplica> ranks_of(const Plan& plan, const std::shared_ptr<const BlockCosts>& blocks,
                                         const FrameworkSpec& framework);

  /// Needs faults, or `unfolds`.
  [[nodiscard]] const GroupHealth& groups() const { return *groups_; }

 private:
  using Degrees = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t, std::int32_t, bool>;
  const std::vector<ReplicaClass>& classes(const Plan& plan);
  std::shared_ptr<const PlanCosts> costs_of(const Plan& plan, ReplicaHealth health,
                                            const std::shared_ptr<const BlockCosts>& blocks,
                                            const FrameworkSpec& framework);
  std::shared_ptr<const BlockCosts> blocks_of(const CellHealth& cell, const std::shared_ptr<const BlockCosts>& healthy,
                                              const FrameworkSpec& framework);

  const Problem& problem_;
  std::unique_ptr<GroupHealth> groups_;  // null: no faults, and not unfolded
  Degrees degrees_;                      // of classes_
  std::vector<ReplicaClass> classes_;
  std::shared_ptr<const BlockCosts> healthy_blocks_;  // of slow_blocks_
  std::vector<std::pair<CellHealth, std::shared_ptr<const BlockCosts>>> slow_blocks_;
};

}  // namespace foretrain
