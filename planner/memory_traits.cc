#include "planner/memory_traits.h"

#include <array>
#include <string>
#include <string_view>

#include "base/text.h"

namespace foretrain {
namespace {

constexpr std::array<MemoryTraits, kFrameworkNames.size()> make_rows() {
  std::array<MemoryTraits, kFrameworkNames.size()> rows{};

  // Megatron-Core. The loss casts the 16-bit logits to fp32 (4), exponentiates in place, and turns the result into
  // the gradient in place; the 16-bit logits (2) live until the loss is there, their gradient (2) from then on.
  // Source: NVIDIA/Megatron-LM core/tensor_parallel/cross_entropy.py, core/tensor_parallel/layers.py.
  MemoryTraits megatron;
  megatron.weight_gradient_apart = true;
  rows[0] = megatron;

  // Megatron-DeepSpeed: the same loss; DeepSpeed keeps 16-bit gradients and adds to none elsewhere. At the step it
  // copies its reduced share to 16 bits (2) and then to fp32 (4), beside a bucket of 5e8 16-bit gradients.
  // Source: deepspeedai/DeepSpeed v0.6 runtime/zero/stage_1_and_2.py, runtime/zero/constants.py (reduce_bucket_size).
  MemoryTraits megatron_deepspeed;
  megatron_deepspeed.stage_output_kept = true;
  megatron_deepspeed.step_bytes = 6;
  megatron_deepspeed.step_buffer = 1'000'000'000;
  megatron_deepspeed.eager_modules = true;
  rows[1] = megatron_deepspeed;

  // torchtitan: cross entropy of pred.float(). log_softmax's result is kept (4); forward the 16-bit logits (2) and
  // their fp32 copy (4) beside it, backward the gradient of the loss (4) and log_softmax's result (4). Column-parallel
  // layers keep the gathered tensor that DTensor hands them. With a pipeline nothing is resharded after forward, and
  // gradients wait in reduce_dtype until the last micro-batch. Over tensor ranks, DTensor's loss_parallel makes one
  // temporary more: the shifted logits forward, the exponentials backward. Source: pytorch/torchtitan 9dec370 train.py,
  // parallelisms/parallelize_llama.py; pytorch FSDP2 _fsdp_param.py (to_accumulated_grad_if_needed),
  // distributed/tensor/parallel/loss.py.
  MemoryTraits torchtitan;
  torchtitan.logit_forward = 6;
  torchtitan.logit_backward = 8;
  torchtitan.logit_split = 4;
  torchtitan.gathered_inputs_kept = true;
  torchtitan.gate_kept = true;
  torchtitan.stage_output_kept = true;
  torchtitan.pipeline_keeps_gathered = true;
  rows[2] = torchtitan;

  // FSDP1 with llm-foundry's MPT models: the loss of flash-attn, in place.
  // Source: mosaicml/llm-foundry models/mpt/modeling_mpt.py.
  MemoryTraits fsdp;
  rows[3] = fsdp;

  MemoryTraits deepspeed = megatron_deepspeed;
  deepspeed.eager_modules = false;
  rows[4] = deepspeed;

  // MaxText: XLA plans the whole step's memory; no PyTorch workspaces.
  MemoryTraits maxtext;
  maxtext.cublas_workspaces = false;
  rows[5] = maxtext;

  // nanotron: fp32 logits (4) and a shifted copy (4) that becomes their gradient in place; gate and product apart;
  // without ZeRO, DistributedDataParallel with its 16-bit buckets.
  // Source: huggingface/nanotron c2528430 models/llama.py (GLUActivation), parallel/tensor_parallel/functional.py,
  // trainer.py (make_ddp).
  MemoryTraits nanotron;
  nanotron.logit_forward = 4;
  nanotron.gathered_inputs_kept = true;
  nanotron.gate_kept = true;
  nanotron.stage_output_kept = true;
  nanotron.bucket_bytes = 2;
  rows[6] = nanotron;

  rows[7] = megatron;
  return rows;
}

constexpr std::array<MemoryTraits, kFrameworkNames.size()> kTraits = make_rows();

}  // namespace

MemoryTraits memory_traits(const Software& software, Precision precision, bool fused_cross_entropy,
                           int compute_capability) {
  MemoryTraits t = kTraits[static_cast<std::size_t>(software.framework)];
  const std::string version = to_lower(software.version);
  const auto says = [&](std::string_view words) { return version.find(words) != std::string::npos; };
  const bool eight_bit = precision == Precision::fp8 || precision == Precision::mxfp8 || precision == Precision::nvfp4;
  const bool flash = software.attention == AttentionKind::flash;
  // Deterministic algorithms of PyTorch need CUBLAS_WORKSPACE_CONFIG=:4096:8, which is 8 x 4 MiB.
  t.large_workspaces = says("deterministic mode");
  if (fused_cross_entropy) {  // 16-bit logits turn into their gradient in place
    t.logit_kept = 2;
    t.logit_forward = t.logit_backward = 0;
  }
  if (says("compiled cross entropy")) {
    // Megatron-Core's own fusion keeps the arithmetic and lets the compiler fuse it: exponentials apart from the fp32
    // logits. Source: NVIDIA/Megatron-LM core/fusions/fused_cross_entropy.py.
    t.logit_forward = 6;
    t.logit_backward = 4;
  }
  // --defer-embedding-wgrad-compute with --wgrad-deferral-limit 2. Source: NVIDIA/Megatron-LM
  // core/tensor_parallel/layers.py.
  if (says("head gradients deferred")) t.deferred_head_gradients = 2;
  if (software.framework == FrameworkKind::megatron_core) {
    // Megatron-Core runs Transformer Engine's layers unless told otherwise; its own are those with unfused attention.
    t.engine_workspace = flash || says("transformer_engine");
    t.score_buffer = !t.engine_workspace;
    t.gradient_stand_ins = t.engine_workspace && !says("no gradient accumulation fusion");
    // Transformer Engine takes cuDNN's attention from Hopper on and flash-attn before; deterministic backward passes of
    // cuDNN came late to Blackwell. Source: NVIDIA/TransformerEngine
    // pytorch/attention/dot_product_attention/utils.py (get_attention_backend), backends.py (FlashAttention).
    t.attention_output_twice = flash && (compute_capability < 90 || (compute_capability >= 100 && t.large_workspaces));
  }
  if (software.framework == FrameworkKind::megatron_core || software.framework == FrameworkKind::generic) {
    // Source: NVIDIA/TransformerEngine pytorch/module/linear.py (update_usage before save_for_backward).
    t.one_byte_inputs = eight_bit;
  }
  if (software.framework == FrameworkKind::megatron_deepspeed && precision == Precision::bf16) {
    // BF16_Optimizer keeps fp32 gradients and, zeroed, the 16-bit ones, each of which it casts to fp32 to add it; the
    // pipeline engine reduces in buckets of 5e8 fp32 gradients. Source: deepspeedai/DeepSpeed
    // runtime/bf16_optimizer.py (update_hp_grads), runtime/pipe/engine.py (_bf16_reduce_grads).
    t.step_bytes = 0;
    t.step_buffer = 2'000'000'000;
    t.cast_bytes = 4;
    t.further_gradient_bytes = 2;
  }
  return t;
}

}  // namespace foretrain
