/// Bytes that a GPU holds through the whole step and that are no state of the model: context, NCCL, workspaces, and
/// what ZeRO-3 has gathered.
#pragma once

#include <cstdint>

#include "planner/plan_cost.h"
#include "planner/problem.h"

namespace foretrain {

/// Driver, runtime and library state of one process before its first tensor.
std::int64_t context_bytes(const GpuSpec& gpu, const MemoryTraits& traits);

/// NCCL's buffers for the communicators of a plan's groups: each channel's connections to its neighbours in ring and
/// tree, with a buffer for each protocol.
std::int64_t nccl_bytes(const Problem& problem, const Plan& plan);

/// GEMM workspaces of PyTorch and Transformer Engine, gradients that stand in for those the GEMM has added already, and
/// Megatron's score buffer.
std::int64_t workspace_bytes(const Problem& problem, const Plan& plan, const MemoryTraits& traits);

/// What ZeRO-3 holds gathered on a stage, and gradients on their way to the reduce-scatter; 0 below stage 3.
std::int64_t gathered_bytes(const Plan& plan, const PlanCosts& costs, const StageCost& stage);

}  // namespace foretrain
