// Interleaved 1F1B: Narayanan et al., arXiv 2104.04473, section 2.2, in the order of Megatron-LM
// (megatron/core/pipeline_parallel/schedules.py: get_pp_rank_microbatches, get_schedule_table), with the default
// group of as many micro-batches as there are stages.
#include <algorithm>

#include "base/check.h"
#include "sim/schedules/schedules.h"

namespace foretrain::sim {
namespace {

/// Row k of Megatron's schedule table: groups of `stages` micro-batches go through chunk 0, then chunk 1, ...
/// Backward passes follow the same table with the chunks counted from the last.
Pass table_row(const PipelineShape& shape, PassKind kind, std::int32_t k) {
  const std::int32_t group_passes = shape.stages * shape.virtual_stages;
  const std::int32_t group = k / group_passes;
  const std::int32_t in_group = k % group_passes;
  const std::int32_t chunk = in_group / shape.stages;
  return {kind, kind == PassKind::forward ? chunk : shape.virtual_stages - 1 - chunk,
          group * shape.stages + in_group % shape.stages};
}

std::int32_t total_passes(const PipelineShape& shape) { return shape.micro_batches * shape.virtual_stages; }

}  // namespace

std::int32_t interleaved_warm_up(const PipelineShape& shape, std::int32_t stage) {
  return std::min((shape.stages - stage - 1) * 2 + (shape.virtual_stages - 1) * shape.stages, total_passes(shape));
}

const char* interleaved_why_illegal(const PipelineShape& shape) {
  if (shape.stages < 2) return "needs at least two stages";
  if (shape.virtual_stages < 2) return "needs at least two chunks a stage";
  if (shape.micro_batches < shape.stages || shape.micro_batches % shape.stages != 0)
    return "needs micro-batches divisible by stages";
  if (std::int64_t{shape.micro_batches} * shape.virtual_stages > 1'000'000'000) return "has more than 1e9 passes";
  return nullptr;
}

std::vector<Pass> interleaved_order(const PipelineShape& shape, std::int32_t stage) {
  FORETRAIN_CHECK(interleaved_why_illegal(shape) == nullptr && stage >= 0 && stage < shape.stages);
  const std::int32_t total = total_passes(shape);
  const std::int32_t warm_up = interleaved_warm_up(shape, stage);
  std::vector<Pass> order;
  order.reserve(2 * static_cast<std::size_t>(total));
  for (std::int32_t k = 0; k < warm_up; ++k) order.push_back(table_row(shape, PassKind::forward, k));
  for (std::int32_t k = warm_up; k < total; ++k) {
    order.push_back(table_row(shape, PassKind::forward, k));
    order.push_back(table_row(shape, PassKind::backward, k - warm_up));
  }
  for (std::int32_t k = total - warm_up; k < total; ++k) order.push_back(table_row(shape, PassKind::backward, k));
  return order;
}

/// The warm-up's passes and the one of the steady state, when there is one.
std::int64_t interleaved_peak_in_flight(const PipelineShape& shape, std::int32_t stage) {
  return std::min(interleaved_warm_up(shape, stage) + 1, total_passes(shape));
}

}  // namespace foretrain::sim
