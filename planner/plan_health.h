/// A plan on a cluster with slow or dead parts: which replicas still behave alike, and what each has of its speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/group_health.h"
#include "planner/plan.h"
#include "planner/plan_cost.h"

namespace foretrain {

/// Replicas (tensor x context x pipeline ranks each) that behave alike and are simulated once.
struct ReplicaClass {
  std::vector<std::int64_t> replicas;  ///< ascending
  ReplicaHealth health;                ///< without `blocks`
  std::int32_t shard_gang = 0;         ///< classes of one gang share their sharded collectives
  [[nodiscard]] bool healthy() const;
};

/// The classes of a plan, in order of their first replica. One healthy class where no fault touches the plan.
std::vector<ReplicaClass> replica_classes(const Plan& plan, const GroupHealth& groups);

/// Groups of one kind that are slower than in full health.
struct SlowGroups {
  std::string kind;                  ///< "data-parallel groups"
  std::vector<std::int64_t> groups;  ///< numbered by their first rank
  double share = 1;                  ///< what the slowest of them has of its rate
};
/// What `groups` (built with the faults of interest) slows in `plan`: GPUs, and groups of each kind.
std::vector<SlowGroups> slow_groups(const Plan& plan, const GroupHealth& groups);

}  // namespace foretrain
