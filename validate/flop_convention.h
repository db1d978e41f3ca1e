/// Floating-point operations of a step as a source of measurements counts them, to turn its TFLOP/s back into seconds.
#pragma once

#include <string_view>

#include "base/units.h"
#include "planner/problem.h"

namespace foretrain {

/// FLOPs of one step of `problem` as `source` counts model FLOPs (no recomputation). Which attention scores are
/// counted, all of them, the causal half or none, differs by source; the table stands in flop_convention.cc.
Flops model_flops_by(std::string_view source, const Problem& problem);

/// FLOPs that the hardware does in one step, recomputation included and all attention scores counted. With full
/// recomputation, a second forward of every layer (not of the LM head):
///
///     96 B s L h^2 (1 + s / 6h + V / 16 L h)      for GPT
///
/// Selective recomputation repeats attention scores and values.
/// Source: Narayanan et al. 2021 (arXiv 2104.04473), equation 3; Korthikanti et al. 2022 (arXiv 2205.05198), section 5.
Flops hardware_flops(const Problem& problem);

}  // namespace foretrain
