/// What a training framework keeps in a GPU's memory beside parameters, gradients, optimizer states and activations.
#pragma once

#include <cstdint>

#include "planner/job.h"

namespace foretrain {

/// One row per framework, in memory_traits.cc, each value with its source.
struct MemoryTraits {
  // The loss. Bytes per logit: between forward and backward pass, and what comes on top while the head runs.
  double logit_kept = 4, logit_forward = 2, logit_backward = 2;
  double logit_split = 0;  ///< further on top, both ways, where the logits are split over tensor ranks
  std::int64_t deferred_head_gradients = 0;  ///< micro-batches whose 16-bit logit gradients wait for idle time
  // Activations.
  bool gathered_inputs_kept = false;    ///< column-parallel layers keep their gathered input under sequence parallelism
  bool stage_output_kept = false;       ///< a pipeline stage's output lives until its backward pass
  bool gate_kept = false;               ///< gated MLP: the gate's activation is kept beside its product
  bool one_byte_inputs = false;         ///< an 8-bit GEMM's input is kept in 8 bits
  bool attention_output_twice = false;  ///< [s, b, h] around a [b, s, h] attention library: its output and a copy
  // Gradients on their way.
  bool weight_gradient_apart = false;    ///< a 16-bit gradient of one weight stands beside its fp32 main gradient
  bool gradient_stand_ins = false;       ///< one 16-bit tensor per weight shape stays, for gradients the GEMM has added
  double further_gradient_bytes = 0;     ///< per parameter of the rank
  double bucket_bytes = 0;               ///< per parameter: all-reduce buckets of plain data parallelism
  bool pipeline_keeps_gathered = false;  ///< ZeRO-3 with a pipeline: parameters stay gathered through the step, and
                                         ///< gradients whole until the last micro-batch
  // Step end, in pieces too large for the blocks that activations left behind.
  double step_bytes = 0;         ///< per parameter that the rank updates
  std::int64_t step_buffer = 0;  ///< reduction bucket
  double cast_bytes = 0;         ///< per parameter of the stage's largest weight: its gradient in another format
  // Workspaces.
  bool cublas_workspaces = true;  ///< PyTorch's: one for the main thread, one for autograd's
  bool large_workspaces = false;  ///< of 32 MiB each, which deterministic mode demands on every GPU
  bool engine_workspace = false;  ///< Transformer Engine's own
  bool score_buffer = false;      ///< Megatron's unfused attention keeps one matrix of scores
  bool eager_modules = false;     ///< CUDA before 11.7 loads every kernel of every library when the context is made
};

/// The traits of `software` on a GPU of this compute capability. Known words of Software::version:
/// "transformer_engine", "deterministic mode", "no gradient accumulation fusion", "compiled cross entropy", "head
/// gradients deferred" (docs/FORMAT.md).
MemoryTraits memory_traits(const Software& software, Precision precision, bool fused_cross_entropy,
                           int compute_capability);

}  // namespace foretrain
