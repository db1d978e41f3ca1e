/// Which layers lie on which pipeline stage.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/model.h"
#include "planner/plan.h"

namespace foretrain {

/// Layers of each virtual stage, in pipeline order: virtual stage v of stage s is index v * pipeline + s.
struct Placement {
  std::vector<std::int32_t> layers;
};

/// Deals the model's layers: plan.stage_layers when given, otherwise evenly; the embedding and the loss each take a
/// layer's place where the plan counts them (Megatron's --account-for-embedding-in-pipeline-split,
/// --account-for-loss-in-pipeline-split). An uneven remainder goes one layer each to the first virtual stages, as
/// DeepSpeed's "uniform" partition does.
Placement place_layers(const ModelSpec& model, const Plan& plan);

/// Whether layers (with what counts as one) divide by pipeline x virtual_pipeline.
bool divides_evenly(const ModelSpec& model, const Plan& plan);

}  // namespace foretrain
