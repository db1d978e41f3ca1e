/// What a training framework launches: what it fuses, overlaps, keeps and reduces, and what a launch costs.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/units.h"
#include "hwmodels/calibration.h"
#include "planner/job.h"
#include "planner/quantisation.h"

namespace foretrain {

/// What `recompute: selective` repeats in the backward pass.
enum class SelectiveKind : std::uint8_t {
  attention_core,     ///< Megatron: scores, softmax, dropout, context of unfused attention; flash attention repeats
                      ///< nothing
  alternate_matmuls,  ///< torchtitan "op": every second matmul and what is cheap; attention's output is kept
  all_but_qkv         ///< MaxText save_qkv_proj: only the QKV projection is kept
};

/// What ring attention moves beside its attention kernels, in bytes per element of the local queries (and keys and
/// values): once, and again with each further block of keys.
struct RingBytes {
  double query_once = 0, query_step = 0, key_once = 0, key_step = 0;
};

/// One row per framework, in framework.cc, each value with its source.
struct FrameworkSpec {
  FrameworkKind kind = FrameworkKind::generic;
  std::string_view name;
  // Kernels of a layer.
  double dropout = 0;                 ///< of attention and hidden states, where the model names none
  bool fused_bias_activation = true;  ///< bias + GeLU (or SwiGLU) in one kernel
  bool fused_bias_dropout_add = true;
  bool fused_softmax = true;         ///< scale + mask + softmax in one kernel (unfused attention)
  bool fused_cross_entropy = false;  ///< logits stay in 16 bits and turn into their gradient in place
  double cross_entropy_read = 22, cross_entropy_written = 16;  ///< bytes per logit, forward
  double cross_entropy_backward_read = 8, cross_entropy_backward_written = 6;
  bool fused_weight_gradient = true;  ///< weight gradient GEMMs add to fp32 main gradients
  bool sums_gradients = false;        ///< a kernel adds each micro-batch's gradients to those of the ones before
  bool attention_transposes = false;  ///< unfused attention copies its context forward and joins dQ, dK, dV backward
  bool bias_kernels = false;          ///< QKV's bias is added, and every bias gradient summed, by kernels of their own
  int flash_generation = 3;           ///< which FlashAttention its attention kernels match: 1, 2, the GPU's best (3),
                                      ///< or the first one's kernels in Triton (0)
  SelectiveKind selective = SelectiveKind::attention_core;
  bool fused_norms = true;        ///< the backward pass of a norm is one kernel that reads its inputs once
  bool repeats_kv_heads = false;  ///< grouped keys and values are copied for every query head before attention
  bool unpads_attention = false;  ///< tokens are gathered and scattered around attention as if some were padding
  RingBytes ring_forward = {.query_once = 8, .query_step = 5.5, .key_once = 4, .key_step = 0};
  RingBytes ring_backward = {.query_once = 4, .query_step = 7.5, .key_once = 4, .key_step = 10};
  double ring_gradient_bytes = 2;  ///< per element of the keys' and values' gradients that the ring passes on
  double metric_read = 0, metric_written = 0;  ///< bytes per logit of metrics computed in every micro-batch
  // Host.
  Seconds forward_launch;        ///< host time per kernel launched from Python-driven forward code
  Seconds backward_launch;       ///< host time per kernel launched by the autograd engine
  Seconds step_overhead;         ///< host time per step outside the passes: data loader, logging, clipping, scheduler
  bool launch_blocking = false;  ///< CUDA_LAUNCH_BLOCKING=1: the host waits for each kernel it has launched
  bool pipeline_synchronises = false;  ///< the host waits for the device after each pipeline exchange
  // Communication.
  bool tensor_backward_overlap = true;  ///< input-gradient all-reduce (or scatter) runs beside the weight-gradient GEMM
  bool overlap_param_gather = true;     ///< ZeRO-1 gathers parameters beside the next forward pass
  /// Pipeline messages are split over the tensor group; who receives one gathers it, so often a pass each way.
  bool splits_pipeline_messages = false;
  int forward_gathers = 0, backward_gathers = 0;
  double bucket_parameters = 40e6;  ///< parameters in one gradient bucket, at least
  // Bytes per parameter of the model on a GPU, before sharding.
  double parameter_bytes = 2, gradient_bytes = 4, optimizer_bytes = 12;
  double gradient_reduce_bytes = 4;  ///< bytes per parameter that data parallel communication moves
  double gather_copy_bytes = 0;      ///< bytes per parameter that copies move after each ZeRO-3 gather
  double reduce_copy_bytes = 0;      ///< bytes per parameter that copies move before each ZeRO-3 reduction
  double adam_bytes = 0;             ///< bytes per parameter that an unfused optimizer moves; 0: one fused kernel
  QuantisationSpec quantisation;     ///< what 8- and 4-bit GEMMs need around them
};

const FrameworkSpec& framework_spec(FrameworkKind kind);
/// The row with what the precision changes (fp16 in the older frameworks keeps and reduces 2-byte gradients) and what
/// known words of Software::version and Software::overlap say about the release (docs/FORMAT.md lists them).
FrameworkSpec framework_spec(const Software& software, Precision precision);
struct Problem;
/// The same for a problem, with launch costs as its calibration (may be null) has measured them for this framework and
/// the operands that its GPU's narrow GEMMs need.
FrameworkSpec framework_spec(const Problem& problem);

}  // namespace foretrain
