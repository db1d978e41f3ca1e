/// Bytes of activations: what a pass keeps from forward to backward, and what it needs while it runs.
#pragma once

#include <cstdint>

#include "planner/framework.h"
#include "planner/job.h"
#include "planner/layer_ops.h"
#include "planner/memory_traits.h"
#include "planner/model.h"

namespace foretrain {

/// For one micro-batch on one rank. Working memory is what a pass needs on top of all that micro-batches in flight
/// keep.
struct ActivationBytes {
  std::int64_t layer = 0;             ///< kept by a layer under shape.recompute
  std::int64_t layer_kept = 0;        ///< kept by a layer that is not recomputed in full
  std::int64_t forward_working = 0;   ///< while a layer runs forward
  std::int64_t backward_working = 0;  ///< while one runs backward: gradients, and what it computes again
  std::int64_t embedding = 0;         ///< kept by the embedding
  std::int64_t stage_output = 0;      ///< kept by a stage that hands its output on
  std::int64_t head = 0;              ///< kept by the head outside the logits: norm input and output
  std::int64_t logits = 0;            ///< kept by the loss
  std::int64_t head_forward = 0;      ///< while head and loss run forward
  std::int64_t head_backward = 0;     ///< while they run backward
};

/// Counts the tensors that the layers' backward functions save. For a GPT layer of 16-bit activations, unfused
/// attention, dropout, no tensor parallelism that is s b h (34 + 5 a s / h) bytes; with t-way tensor parallelism s b h
/// (10 + 24/t + 5 a s / (h t)), and with sequence parallelism all of it over t. Source: Korthikanti et al. 2022 (arXiv
/// 2205.05198), equations 1-4.
ActivationBytes activation_bytes(const ModelSpec& model, const BlockShape& shape, const Software& software,
                                 Precision precision, const FrameworkSpec& framework, const MemoryTraits& traits);

}  // namespace foretrain
