/// A model in our own keys (docs/FORMAT.md, "Model"), and what holds for every model.
#pragma once

#include <span>
#include <string_view>

#include "base/spec_node.h"
#include "planner/model.h"

namespace foretrain {

/// Largest shapes that can be meant; the counts of parameters made from them stay far inside 64 bits.
inline constexpr IntRange kLayersRange = {1, 100'000};
inline constexpr IntRange kWidthRange = {1, 10'000'000};
inline constexpr IntRange kVocabRange = {1, 100'000'000};
inline constexpr IntRange kPositionsRange = {1, 100'000'000};
inline constexpr IntRange kExpertsRange = {1, 100'000};

/// Every key of a model of ours.
std::span<const std::string_view> own_model_keys();

/// Reads `node`. `base` holds the values of keys that are left out; without it the shapes must all be there.
ModelSpec read_own_model(const SpecNode& node, const ModelSpec* base);

/// SpecError at `node` when the shapes contradict each other or add up to more than 10^16 parameters.
void check_model(const SpecNode& node, const ModelSpec& model);

}  // namespace foretrain
