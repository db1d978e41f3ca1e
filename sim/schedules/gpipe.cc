// GPipe: Huang et al., arXiv 1811.06965, figure 2c. Backward passes run in the reverse order of the forward ones, so
// that the activations kept last are used first.
#include "base/check.h"
#include "sim/schedules/schedules.h"

namespace foretrain::sim {

const char* gpipe_why_illegal(const PipelineShape& shape) {
  if (shape.stages < 1 || shape.micro_batches < 1) return "needs at least one stage and one micro-batch";
  if (shape.virtual_stages != 1) return "has one chunk a stage";
  return nullptr;
}

std::vector<Pass> gpipe_order(const PipelineShape& shape, std::int32_t stage) {
  FORETRAIN_CHECK(gpipe_why_illegal(shape) == nullptr && stage >= 0 && stage < shape.stages);
  std::vector<Pass> order;
  order.reserve(2 * static_cast<std::size_t>(shape.micro_batches));
  for (std::int32_t m = 0; m < shape.micro_batches; ++m) order.push_back({PassKind::forward, 0, m});
  for (std::int32_t m = shape.micro_batches; m-- > 0;) order.push_back({PassKind::backward, 0, m});
  return order;
}

std::int64_t gpipe_peak_in_flight(const PipelineShape& shape, std::int32_t /*stage*/) { return shape.micro_batches; }

}  // namespace foretrain::sim
