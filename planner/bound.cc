#include "planner/bound.h"

#include <algorithm>

namespace foretrain {
namespace {

// A flow's end is computed from a rate in floating point and rounded to a picosecond: stay below it.
constexpr Picoseconds kRounding{2};

Picoseconds least(const Message& m) { return m.total > kRounding ? m.total - kRounding : Picoseconds{}; }

/// What a stage's data-parallel lane carries before the gradient norm.
Picoseconds data_lane_work(const Plan& plan, const PlanCosts& c, const StageCost& stage, bool gathers_ahead) {
  const DataParallelCost& d = stage.data;
  if (plan.zero_stage == 3) {
    const Picoseconds layer = 2 * least(d.layer_gather) + least(d.layer_reduce);  // forward, backward
    return c.micro_batches * (stage.layers * layer) + least(d.replica_reduce);
  }
  Picoseconds lane = ((plan.zero_stage == 2 ? c.micro_batches : 1) * std::int64_t{d.buckets}) * least(d.reduce);
  if (gathers_ahead) lane += d.buckets * least(d.gather);
  return lane + least(d.replica_reduce);
}

}  // namespace

Picoseconds step_bound(const Plan& plan, const PlanCosts& c) {
  const std::size_t stages = static_cast<std::size_t>(plan.pipeline);
  const std::size_t virtual_stages = c.forward.size();
  const bool data_parallel = plan.data * plan.context > 1;
  const bool sharded_state = plan.zero_stage == 1 || plan.zero_stage == 2;
  const bool gathers_ahead = sharded_state && c.framework.overlap_param_gather && plan.overlap.data;
  const bool overlaps = plan.overlap.data || plan.zero_stage >= 2;
  const Picoseconds message = plan.pipeline > 1 ? least(c.transfer) : Picoseconds{};

  Picoseconds head, tail, worst, longest_end, data_lane;
  for (std::size_t s = 0; s < stages; ++s) {
    Picoseconds work;
    for (std::size_t k = s; k < virtual_stages; k += stages)
      work += c.micro_batches * (c.forward[k].gpu + c.backward[k].gpu);
    worst = std::max(worst, head + work + tail);
    head += c.forward[s].gpu + message;
    tail += c.backward[s].gpu + message;
    const StageCost& stage = c.stages[s];
    Picoseconds end = stage.optimizer;
    if (data_parallel && sharded_state && !gathers_ahead) end += stage.data.buckets * least(stage.data.gather);
    longest_end = std::max(longest_end, end);
    if (data_parallel) data_lane = std::max(data_lane, data_lane_work(plan, c, stage, gathers_ahead));
  }
  Picoseconds after;
  const StageCost& first = c.stages.front();
  if (data_parallel && plan.zero_stage < 3) after += (overlaps ? 1 : first.data.buckets) * least(first.data.reduce);
  if (data_parallel) after += least(first.data.replica_reduce);
  after += first.gradient_tail.total + c.norm_reduce.total;
  const Picoseconds overhead = to_picoseconds(c.framework.step_overhead);
  return std::max(overhead + worst + after, data_lane + c.norm_reduce.total) + longest_end;
}

}  // namespace foretrain
