/// Which elements dropout drops under a plan, by the rule of seeds alone and in the coordinates of the whole model.
#pragma once

#include "validate/parallel/reference_model.h"
#include "validate/parallel/trainer.h"

namespace foretrain::parallel {

/// For `step` (from 0) of a training: finds the rank that holds an element, the seed of that rank and the element's
/// index in that rank's tensor. See seeds_of, ModelPart::forward and AttentionBlock::draw for the three rules.
DropRule expected_masks(const TrainSetup& setup, std::int64_t step);

}  // namespace foretrain::parallel
