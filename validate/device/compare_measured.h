/// A plan's kernels, collectives, steps and memory: predicted beside measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validate/comparison.h"
#include "validate/device/distinct_work.h"
#include "validate/device/measured.h"

namespace foretrain {

/// What a run of a plan is compared with.
struct PlanPrediction {
  std::vector<DistinctWork> works;
  Seconds step;                  ///< of what ran: every rank, or one
  std::int64_t peak_memory = 0;  ///< bytes of the fullest GPU that ran
};

/// "gemm 8192x2560x8192 bf16 tn", "attention 1x8192 16/2 heads of 128 bf16 causal backward", "swiglu 8192x7168 bf16",
/// "all_gather 134 MB, 4 ranks".
std::string describe(const Work& work, std::int64_t ranks);

/// Rows by quantity: gemm_seconds, attention_seconds, memory_bound_seconds of kernels that ran alone, compared with
/// what they take alone; in_step_gemm_seconds and so on of those inside a step; collective_seconds, on the group that
/// was there, in the cluster of `problem`; step_seconds, peak_memory_bytes. Refused, with the reason: what was skipped,
/// what is not in the plan, collectives of ranks that shared a GPU.
Comparison compare_measured(const MeasuredRun& run, const PlanPrediction& predicted, const Problem& problem);

}  // namespace foretrain
