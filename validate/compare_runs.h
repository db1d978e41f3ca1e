/// Measured training runs beside what the planner predicts for the same plan.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/report.h"
#include "validate/comparison.h"
#include "validate/run_rows.h"

namespace foretrain {

/// Memory as `measure` counts it, from the anatomy of each stage:
///
///     allocated   tensors: parameters, gradients, optimizer, activations, temporary, logits
///     reserved    the same and the allocator's slack
///     device      everything
Bytes measured_memory(const PlanReport& report, const MemoryMeasure& measure);

/// Predicts every row with its own plan, on `threads` threads (0 = all cores; the result does not depend on it).
///
/// A row gives quantity `step_seconds`, `peak_memory_bytes` or both, as far as they were measured, or is refused. A run
/// that did happen and that our model says does not fit is refused for memory; a run that went out of memory (grade
/// OOM) has nothing to compare and is listed as refused, with what was predicted. Groups: source, GPU, grade,
/// precision, framework.
Comparison compare_runs(const std::vector<RunRow>& rows, std::int32_t threads = 0);

}  // namespace foretrain
