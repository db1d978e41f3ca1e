/// The plan space: every combination of choices that a search considers, in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "planner/plan.h"
#include "planner/problem.h"

namespace foretrain {

/// A plan's enumerated choices in 28 bytes, for lists of millions.
struct PackedPlan {
  std::int32_t micro_batch = 1, data = 1;
  std::int16_t tensor = 1, pipeline = 1, virtual_pipeline = 1, context = 1, recompute_layers = 0;
  std::int8_t zero_stage = 0, context_kind = 0, schedule = 0, recompute = 0, flags = 0;
};

/// The combinations of search values: degrees, micro-batch, sequence parallelism, recomputation, ZeRO stage, schedule,
/// layer accounting. Plans that share their blocks' shape (tensor, context, micro-batch, sequence parallelism,
/// recomputation) form a group. Values a job leaves open: tensor: divisors of the heads; pipeline: 1 .. layers + 2;
/// virtual_pipeline: every count that can deal the layers; data: as many replicas as the GPUs allow and the batch
/// divides by; micro_batch: powers of two; context: 1.
class PlanSpace {
 public:
  explicit PlanSpace(const Problem& problem);

  [[nodiscard]] std::size_t group_count() const { return groups_.size(); }
  /// Calls `visit` with each plan of a group, in order. The plan object is reused between calls.
  void visit_group(std::size_t group, const std::function<void(const Plan&)>& visit) const;

  [[nodiscard]] PackedPlan pack(const Plan& plan) const;
  [[nodiscard]] Plan unpack(const PackedPlan& packed) const;

 private:
  struct Group {
    std::int32_t tensor, context, micro_batch;
    ContextKind context_kind;
    bool sequence_parallel;
    Recompute recompute;
  };
  void visit_pipelines(Plan& plan, const std::function<void(const Plan&)>& visit) const;
  void visit_schedules(Plan& plan, const std::function<void(const Plan&)>& visit) const;
  void visit_rest(Plan& plan, const std::function<void(const Plan&)>& visit) const;

  const Problem& problem_;
  std::vector<Group> groups_;
  std::vector<std::int32_t> pipelines_;
};

}  // namespace foretrain
