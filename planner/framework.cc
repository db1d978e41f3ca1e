#include "planner/framework.h"

#include <string>

#include "base/text.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

// Host cost of one operation of layer_ops (which stands for one to three launched kernels, with Python, dispatcher,
// autograd and allocator around them). Megatron-DeepSpeed: where nothing but the host can set the pace (tensor 2-8, one
// sequence of 1,024 tokens, hidden 1,024), vTrain's single-node runs take 3.3-3.7 ms per layer and micro-batch for
// forward, recomputation and backward together, whatever the GPU's share of the work; a layer has 19 operations forward
// and 46 backward with recomputation.
constexpr Seconds kMegatronDeepSpeedLaunch = 53.0 * microseconds;
// Later frameworks launch fewer, larger kernels per operation. Assumed: half of that for Megatron-Core's modules, and
// one third for plain PyTorch modules whose backward pass autograd drives from C++; no launch-bound measurement yet.
constexpr Seconds kMegatronCoreLaunch = 27.0 * microseconds;
constexpr Seconds kPyTorchForwardLaunch = 20.0 * microseconds;
constexpr Seconds kPyTorchBackwardLaunch = 15.0 * microseconds;

constexpr std::array<FrameworkSpec, kFrameworkNames.size()> make_rows() {
  std::array<FrameworkSpec, kFrameworkNames.size()> rows{};

  // Megatron-Core with Transformer Engine. Main gradients in fp32, reduced in fp32 (DistributedDataParallelConfig
  // grad_reduce_in_fp32 follows --accumulate-allreduce-grads-in-fp32, set by bf16); bucket size max(40e6, 1e6 dp).
  // Source: NVIDIA/Megatron-LM megatron/core/distributed, megatron/training/arguments.py.
  FrameworkSpec megatron;
  megatron.kind = FrameworkKind::megatron_core;
  megatron.forward_launch = kMegatronCoreLaunch;
  megatron.backward_launch = kMegatronCoreLaunch;
  megatron.step_overhead = 3.0 * milliseconds;
  megatron.pipeline_synchronises = false;
  megatron.splits_pipeline_messages = false;
  rows[0] = megatron;

  // Megatron-DeepSpeed and the Megatron-LM of 2020-22 it forked: unfused attention with copies around it, dropout 0.1,
  // gradients in the model's precision, no overlap of data parallel communication, input-gradient all-reduce not
  // overlapped. Source: microsoft/Megatron-DeepSpeed, bigscience-workshop/Megatron-DeepSpeed
  // megatron/model/transformer.py, arguments.py.
  FrameworkSpec deepspeed_megatron = megatron;
  deepspeed_megatron.kind = FrameworkKind::megatron_deepspeed;
  deepspeed_megatron.dropout = 0.1;
  deepspeed_megatron.forward_launch = kMegatronDeepSpeedLaunch;
  deepspeed_megatron.backward_launch = kMegatronDeepSpeedLaunch;
  deepspeed_megatron.attention_transposes = true;
  deepspeed_megatron.bias_kernels = true;
  deepspeed_megatron.fused_weight_gradient = false;
  deepspeed_megatron.sums_gradients = true;  // torch's AccumulateGrad, or BF16_Optimizer's fp32 sum
  deepspeed_megatron.tensor_backward_overlap = false;
  deepspeed_megatron.overlap_param_gather = false;
  deepspeed_megatron.pipeline_synchronises = true;
  // Activations are sent in parts (PartitionedTensor); backward the kept output is gathered beside the gradient.
  // Source: microsoft/DeepSpeed deepspeed/runtime/pipe/engine.py (is_pipe_partitioned, _exec_backward_pass).
  deepspeed_megatron.splits_pipeline_messages = true;
  deepspeed_megatron.forward_gathers = 1;
  deepspeed_megatron.backward_gathers = 2;
  rows[1] = deepspeed_megatron;

  // torchtitan: FSDP2, fp32 parameters sharded, bf16 gathered, fp32 reduce-scatter; one group a layer.
  // Source: pytorch/torchtitan torchtitan/models/llama3/infra/parallelize.py.
  FrameworkSpec torchtitan;
  torchtitan.kind = FrameworkKind::torchtitan;
  torchtitan.forward_launch = kPyTorchForwardLaunch;
  torchtitan.backward_launch = kPyTorchBackwardLaunch;
  torchtitan.step_overhead = 3.0 * milliseconds;
  torchtitan.flash_generation = 2;
  torchtitan.selective = SelectiveKind::alternate_matmuls;
  // float(), log_softmax and nll_loss forward; their gradients and the cast back (torch.nn.functional.cross_entropy).
  torchtitan.cross_entropy_read = 10;
  torchtitan.cross_entropy_written = 8;
  torchtitan.cross_entropy_backward_read = 8;
  torchtitan.cross_entropy_backward_written = 6;
  torchtitan.fused_weight_gradient = false;
  torchtitan.fused_bias_dropout_add = false;
  torchtitan.tensor_backward_overlap = false;
  // torch.compile's norms read their inputs again for the gradient of the weight (cudnn-frontend's benchmarks of them).
  torchtitan.fused_norms = false;
  torchtitan.repeats_kv_heads = true;  // repeat_kv, torchtitan/models/llama3/model/model.py
  // Ring attention of torch.distributed.tensor.experimental: results are merged in fp32 by eager kernels (forward: cast
  // 6, difference, product, difference 32, on three quarters of the queries; at the end a cast 6), gradients summed in
  // fp32, keys' and values' gradients passed on in fp32. Source: pytorch torch/distributed/tensor/experimental/
  // _attention.py (_SDPAMerger, _templated_ring_attention_backward).
  torchtitan.ring_forward = {.query_once = 12, .query_step = 28, .key_once = 4, .key_step = 0};
  torchtitan.ring_backward = {.query_once = 14, .query_step = 10.5, .key_once = 8, .key_step = 18};
  torchtitan.ring_gradient_bytes = 4;
  // FSDP2: gathered shards are copied out parameter by parameter; gradients are copied into one fp32 buffer.
  // Source: pytorch torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py (split_with_sizes_copy, chunk_cat).
  torchtitan.gather_copy_bytes = 4;
  torchtitan.reduce_copy_bytes = 6;
  torchtitan.parameter_bytes = 4;
  torchtitan.gradient_bytes = 4;
  torchtitan.optimizer_bytes = 8;
  torchtitan.gradient_reduce_bytes = 4;
  rows[2] = torchtitan;

  // FSDP1 as Composer and llm-foundry set it (mixed_precision: PURE): fp32 master shards, bf16 gathered parameters and
  // bf16 gradient reduction. Source: mosaicml/composer composer/trainer/mosaic_fsdp_utils.py (get_mixed_precision).
  FrameworkSpec fsdp = torchtitan;
  fsdp.kind = FrameworkKind::fsdp;
  fsdp.gradient_reduce_bytes = 2;
  // FSDP1 gathers into one flat tensor; the gradients of its views are joined (read and written in 16 bits) and divided
  // by part of the world size before the reduction, in 16 bits too. Source: pytorch torch/distributed/fsdp/
  // flat_param.py (_get_unflat_views), _runtime_utils.py (_div_if_needed).
  fsdp.gather_copy_bytes = 0;
  fsdp.reduce_copy_bytes = 8;
  fsdp.fused_cross_entropy = true;
  fsdp.cross_entropy_read = 2;
  fsdp.cross_entropy_written = 0;
  fsdp.cross_entropy_backward_read = 2;
  fsdp.cross_entropy_backward_written = 2;
  rows[3] = fsdp;

  // DeepSpeed ZeRO. Source: deepspeedai/DeepSpeed docs/_pages/config-json.md (reduce_bucket_size 5e8 bytes,
  // overlap_comm).
  FrameworkSpec deepspeed = deepspeed_megatron;
  deepspeed.kind = FrameworkKind::deepspeed;
  deepspeed.attention_transposes = false;
  deepspeed.dropout = 0;
  deepspeed.gradient_bytes = 2;
  deepspeed.gradient_reduce_bytes = 2;
  deepspeed.bucket_parameters = 250e6;
  rows[4] = deepspeed;

  // MaxText: JAX/XLA compiles the whole step, so launches cost next to nothing.
  FrameworkSpec maxtext = torchtitan;
  maxtext.kind = FrameworkKind::maxtext;
  maxtext.forward_launch = 1.0 * microseconds;
  maxtext.backward_launch = 1.0 * microseconds;
  maxtext.gradient_reduce_bytes = 2;
  maxtext.selective = SelectiveKind::all_but_qkv;
  maxtext.flash_generation = 3;  // cuDNN attention
  maxtext.fused_cross_entropy = true;
  // XLA fuses norms, gathers into place and sums in place.
  maxtext.fused_norms = true;
  maxtext.repeats_kv_heads = false;
  maxtext.gather_copy_bytes = 0;
  maxtext.reduce_copy_bytes = 0;
  rows[5] = maxtext;

  // Assumed: as Megatron-Core; no measurement of its launches yet.
  FrameworkSpec nanotron = megatron;
  nanotron.kind = FrameworkKind::nanotron;
  rows[6] = nanotron;

  FrameworkSpec generic = megatron;
  generic.kind = FrameworkKind::generic;
  rows[7] = generic;

  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].name = kFrameworkNames[i];
  return rows;
}

constexpr std::array<FrameworkSpec, kFrameworkNames.size()> kFrameworks = make_rows();

/// A word of software.version or software.overlap, lower case, and what it says about the release.
struct ReleaseWord {
  std::string_view word;
  void (*apply)(FrameworkSpec&);
};

void first_flash_attention(FrameworkSpec& f) { f.flash_generation = 1; }
/// MPT: flash attention between bert_padding.unpad_input and pad_input, whether or not there is padding; two metrics,
/// each a cross entropy in fp32, after every micro-batch (LanguageCrossEntropy, LanguagePerplexity: float(),
/// log_softmax, nll_loss); DecoupledAdamW as a chain of eager kernels (2 x mul_ 8, add_ 12, addcmul_ 12, sqrt, div,
/// add_ 8 each, mul_ 8, addcdiv_ 16 bytes). Source: mosaicml/llm-foundry v0.3.0 llmfoundry/models/layers/attention.py,
/// models/mpt/modeling_mpt.py; mosaicml/composer v0.16 trainer/trainer.py (_eval_train_metrics),
/// optim/decoupled_weight_decay.py.
void eager_mpt(FrameworkSpec& f) {
  f.unpads_attention = true;
  f.metric_read = 12;
  f.metric_written = 16;
  f.adam_bytes = 88;
}
void sixteen_bit_gradients(FrameworkSpec& f) {
  f.gradient_bytes = 2;
  f.gradient_reduce_bytes = 2;
}
void launch_blocking(FrameworkSpec& f) { f.launch_blocking = true; }
void separate_weight_gradients(FrameworkSpec& f) { f.fused_weight_gradient = false; }
void default_dropout(FrameworkSpec& f) { f.dropout = 0.1; }
void fused_cross_entropy(FrameworkSpec& f) {
  f.fused_cross_entropy = true;
  f.cross_entropy_read = 4;
  f.cross_entropy_written = 2;
  f.cross_entropy_backward_read = 2;
  f.cross_entropy_backward_written = 2;
}

constexpr std::array kReleaseWords = {
    // flash-attn 1.0.x was pinned until v0.6 (March 2024). Source: mosaicml/llm-foundry setup.py, pull request 1023.
    ReleaseWord{"llm-foundry", first_flash_attention},
    ReleaseWord{"llm-foundry", eager_mpt},
    // NeMo's and Megatron-Bridge's performance recipes keep and reduce gradients in bf16 (grad_reduce_in_fp32 false,
    // grad_sync_dtype
    // bf16) and fuse the loss (cross_entropy_loss_fusion). Source: NVIDIA/NeMo scripts/performance;
    // NVIDIA-NeMo/Megatron-Bridge.
    ReleaseWord{"nemo", sixteen_bit_gradients},
    ReleaseWord{"nemo", fused_cross_entropy},
    ReleaseWord{"cuda_launch_blocking=1", launch_blocking},
    ReleaseWord{"grad_sync_dtype bf16", sixteen_bit_gradients},
    ReleaseWord{"fused cross entropy", fused_cross_entropy},
    // MLPerf submissions with Transformer Engine's userbuffers are NeMo's recipes, whatever framework they are filed
    // under. Source: mlcommons/training_results_v5.1 */benchmarks/llama31_8b/implementations/nemo.
    ReleaseWord{"tp comm overlap (userbuffers)", sixteen_bit_gradients},
    ReleaseWord{"tp comm overlap (userbuffers)", fused_cross_entropy},
    // --no-gradient-accumulation-fusion: the GEMM writes 16 bits, an addition follows.
    ReleaseWord{"no gradient accumulation fusion", separate_weight_gradients},
    // The repository's own pretrain_gpt.py: --hidden-dropout and --attention-dropout are 0.1 where nobody says. Source:
    // NVIDIA/Megatron-LM megatron/training/arguments.py.
    ReleaseWord{"megatron-lm main", default_dropout},
};

void apply_release(const Software& software, FrameworkSpec& spec) {
  const std::string words = to_lower(software.version) + "; " + to_lower(software.overlap);
  for (const ReleaseWord& r : kReleaseWords) {
    if (words.find(r.word) != std::string::npos) r.apply(spec);
  }
}

}  // namespace

const FrameworkSpec& framework_spec(FrameworkKind kind) { return kFrameworks[static_cast<std::size_t>(kind)]; }

FrameworkSpec framework_spec(const Software& software, Precision precision) {
  FrameworkSpec spec = framework_spec(software.framework);
  if (software.attention == AttentionKind::unfused && spec.kind == FrameworkKind::megatron_core) {
    // Megatron-LM before flash attention (2020-22): its Python code is that of the Megatron-DeepSpeed row, its
    // communication its own.
    spec.dropout = 0.1;
    spec.attention_transposes = true;
    spec.bias_kernels = true;
    spec.fused_weight_gradient = false;
    spec.sums_gradients = true;  // DistributedDataParallel's hook: main_grad += grad
    // --scatter-gather-tensors-in-pipeline, on by default. Source: megatron/p2p_communication.py (2021).
    spec.splits_pipeline_messages = true;
    spec.forward_gathers = 1;
    spec.backward_gathers = 1;
    spec.overlap_param_gather = false;
    spec.pipeline_synchronises = true;
    spec.forward_launch = kMegatronDeepSpeedLaunch;
    spec.backward_launch = kMegatronDeepSpeedLaunch;
  }
  apply_release(software, spec);
  if (precision == Precision::fp16 && spec.parameter_bytes == 2) {
    // fp16 runs of these frameworks keep 2-byte gradients and reduce them as they are; master weights and moments stay
    // fp32.
    spec.gradient_bytes = 2;
    spec.gradient_reduce_bytes = 2;
    spec.fused_weight_gradient = false;
  }
  if (precision == Precision::fp32) {
    spec.parameter_bytes = 4;
    spec.gradient_bytes = 4;
    spec.optimizer_bytes = 8;
    spec.gradient_reduce_bytes = 4;
  }
  return spec;
}

FrameworkSpec framework_spec(const Problem& problem) {
  const Calibration* calibration = problem.calibration.get();
  FrameworkSpec spec = framework_spec(problem.software, problem.training.precision);
  spec.quantisation = quantisation_spec(problem.software, problem.training.precision, problem.cluster.gpu);
  // llm-foundry's benchmarks take attn_impl triton where that build of Triton runs (before Hopper), which needs no
  // copies. Source: scripts/train/benchmarking/submit_benchmarks.py.
  if (spec.unpads_attention && problem.cluster.gpu.compute_capability < 90) {
    spec.unpads_attention = false;
    spec.flash_generation = 0;
  }
  spec.forward_launch = launch_time(calibration, spec.name, false).value_or(spec.forward_launch);
  spec.backward_launch = launch_time(calibration, spec.name, true).value_or(spec.backward_launch);
  return spec;
}

}  // namespace foretrain
