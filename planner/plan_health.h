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
};
bool is_healthy(const ReplicaHealth& health);
/// Equal for replicas that behave alike: all numbers of `health`.
std::vector<double> signature(const ReplicaHealth& health);

/// The classes of a plan, in order of their first replica. One healthy class where no fault touches the plan.
std::vector<ReplicaClass> replica_classes(const Plan& plan, const GroupHealth& groups);

/// One rank of each stage: those that hand activations to each other.
struct RankPipeline {
  std::int64_t first_rank = 0;                    ///< of stage 0; that of stage s is s x (GPUs of a stage) further
  ReplicaHealth health;                           ///< without `blocks`
  std::int32_t shard_gang = 0, replica_gang = 0;  ///< groups of its data-parallel collectives in every stage
  std::int32_t cell = 0;                          ///< its replica: tensor x context ranks that run in step
};
/// Every rank of a plan by itself, in order of the first stage's ranks.
std::vector<RankPipeline> rank_pipelines(const Plan& plan, const GroupHealth& groups);
/// The ranks of a gang in `stage`: those that share shards, or (`over_replicas`) HSDP's copies of a shard.
RankGroup gang_ranks(const Plan& plan, std::int32_t stage, bool over_replicas, std::int32_t gang);

/// Groups of one kind that are slower than in full health.
struct SlowGroups {
  std::string kind;                  ///< "data-parallel groups"
  std::vector<std::int64_t> groups;  ///< numbered by their first rank
  double share = 1;                  ///< what the slowest of them has of its rate
};
/// What `groups` (built with the faults of interest) slows in `plan`: GPUs, and groups of each kind.
std::vector<SlowGroups> slow_groups(const Plan& plan, const GroupHealth& groups);

}  // namespace foretrain
