// 1F1B (PipeDream-Flush): Narayanan et al., arXiv 2104.04473, figure 4, as Megatron-LM runs it
// (megatron/core/pipeline_parallel/schedules.py, forward_backward_pipelining_without_interleaving).
#include <algorithm>

#include "base/check.h"
#include "sim/schedules/schedules.h"

namespace foretrain::sim {

const char* one_f_one_b_why_illegal(const PipelineShape& shape) {
  if (shape.stages < 1 || shape.micro_batches < 1) return "needs at least one stage and one micro-batch";
  if (shape.virtual_stages != 1) return "has one chunk a stage";
  return nullptr;
}

/// min(stages - stage - 1, micro-batches) forward passes to fill the pipeline below, then one forward and one backward
/// in turn, then the backward passes that are left.
std::vector<Pass> one_f_one_b_order(const PipelineShape& shape, std::int32_t stage) {
  FORETRAIN_CHECK(one_f_one_b_why_illegal(shape) == nullptr && stage >= 0 && stage < shape.stages);
  const std::int32_t warm_up = std::min(shape.stages - stage - 1, shape.micro_batches);
  std::vector<Pass> order;
  order.reserve(2 * static_cast<std::size_t>(shape.micro_batches));
  for (std::int32_t m = 0; m < warm_up; ++m) order.push_back({PassKind::forward, 0, m});
  for (std::int32_t m = warm_up; m < shape.micro_batches; ++m) {
    order.push_back({PassKind::forward, 0, m});
    order.push_back({PassKind::backward, 0, m - warm_up});
  }
  for (std::int32_t m = shape.micro_batches - warm_up; m < shape.micro_batches; ++m)
    order.push_back({PassKind::backward, 0, m});
  return order;
}

/// The warm-up's micro-batches and the one of the steady state: min(stages - stage, micro-batches).
std::int64_t one_f_one_b_peak_in_flight(const PipelineShape& shape, std::int32_t stage) {
  return std::min(shape.stages - stage, shape.micro_batches);
}

}  // namespace foretrain::sim
