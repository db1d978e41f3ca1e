/// Readers of single plan keys, shared by the plan object and the search object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "planner/plan.h"

namespace foretrain {

/// Bounds of every number in a plan; GPUs and sequences beyond them are a slip of the pen.
inline constexpr IntRange kDegreeRange = {1, 1'000'000};
inline constexpr IntRange kZeroStageRange = {0, 3};
inline constexpr IntRange kCountRange = {0, 1'000'000};  ///< keys whose 0 means "all"

std::int32_t as_int32(const SpecNode& value, IntRange range);
/// SpecError for schedules that are known but not modelled yet.
ScheduleKind as_schedule(const SpecNode& value);
Recompute as_recompute(const SpecNode& value);
ContextKind as_context_kind(const SpecNode& value);
/// Keys left out keep the value of `otherwise`.
Overlap as_overlap(const SpecNode& value, Overlap otherwise);
Offload as_offload(const SpecNode& value);
/// "tp-cp-ep-dp-pp": the five axes in any order, fastest first.
std::string as_rank_order(const SpecNode& value);
/// Layers of each of pipeline x virtual_pipeline chunks in pipeline order. A list of `pipeline` entries splits each
/// evenly over the virtual stages; chunk c of stage s is entry c * pipeline + s of the result.
std::vector<std::int32_t> as_stage_layers(const SpecNode& value, std::int32_t pipeline, std::int32_t virtual_pipeline);

}  // namespace foretrain
