#include "planner/placement.h"

namespace foretrain {

bool divides_evenly(const ModelSpec& model, const Plan& plan) {
  const std::int64_t counted = model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
  return counted % (std::int64_t{plan.pipeline} * plan.virtual_pipeline) == 0;
}

Placement place_layers(const ModelSpec& model, const Plan& plan) {
  const std::size_t stages = static_cast<std::size_t>(plan.pipeline) * static_cast<std::size_t>(plan.virtual_pipeline);
  Placement placement;
  if (plan.stage_layers.size() == stages) {
    placement.layers = plan.stage_layers;
    return placement;
  }
  if (!plan.stage_layers.empty()) {  // one number a stage: dealt evenly to its chunks, the remainder to the first
    placement.layers.resize(stages);
    for (std::int32_t s = 0; s < plan.pipeline; ++s) {
      const std::int32_t n = plan.stage_layers[static_cast<std::size_t>(s)];
      for (std::int32_t v = 0; v < plan.virtual_pipeline; ++v) {
        const std::size_t k = static_cast<std::size_t>(v * plan.pipeline + s);
        placement.layers[k] = n / plan.virtual_pipeline + (v < n % plan.virtual_pipeline ? 1 : 0);
      }
    }
    return placement;
  }
  const std::int64_t counted = model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
  const std::int64_t each = counted / static_cast<std::int64_t>(stages);
  const std::int64_t remainder = counted % static_cast<std::int64_t>(stages);
  placement.layers.resize(stages);
  for (std::size_t k = 0; k < stages; ++k) {
    placement.layers[k] = static_cast<std::int32_t>(each + (static_cast<std::int64_t>(k) < remainder ? 1 : 0));
  }
  if (plan.account_for_embedding) --placement.layers.front();
  if (plan.account_for_loss) --placement.layers.back();
  return placement;
}

}  // namespace foretrain
