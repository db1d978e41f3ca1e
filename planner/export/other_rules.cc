/// DeepSpeed and nanotron: what stops their launch.
#include <array>

#include "planner/export/rule_tables.h"

namespace foretrain::rules {
namespace {

using R = RejectionReason;

bool is_sharded_over_stages(const Problem& /*pr*/, const Plan& p) { return p.zero_stage >= 2 && p.pipeline > 1; }
bool other_than_1f1b(const Problem& /*pr*/, const Plan& p) {
  return p.pipeline > 1 && p.schedule != ScheduleKind::one_f_one_b;
}
bool accounts(const Problem& /*pr*/, const Plan& p) { return p.account_for_embedding || p.account_for_loss; }
bool is_selective(const Problem& /*pr*/, const Plan& p) { return p.recompute == Recompute::selective; }
bool has_sequence_parallel(const Problem& /*pr*/, const Plan& p) { return p.sequence_parallel; }
bool overlaps_tensor(const Problem& /*pr*/, const Plan& p) { return p.overlap.tensor; }
bool overlaps_sends(const Problem& /*pr*/, const Plan& p) { return p.overlap.pipeline && p.pipeline > 1; }
bool context_is_no_ulysses(const Problem& /*pr*/, const Plan& p) {
  return p.context > 1 && p.context_kind != ContextKind::ulysses;
}
bool groups_without_stage_three(const Problem& /*pr*/, const Plan& p) { return p.shard_group > 0 && p.zero_stage != 3; }
bool has_experts_over_ranks(const Problem& /*pr*/, const Plan& p) { return p.expert > 1 || p.expert_tensor > 1; }
bool offloads_activations(const Problem& /*pr*/, const Plan& p) { return p.offload.activations > 0; }
bool offloads_unsharded(const Problem& /*pr*/, const Plan& p) { return p.offload.optimizer > 0 && p.zero_stage == 0; }
bool offloads_part(const Problem& /*pr*/, const Plan& p) {
  return p.offload.optimizer > 0 && p.offload.optimizer < 1 && p.zero_stage != 3;
}
bool has_narrow_format(const Problem& pr, const Plan& /*p*/) {
  const Precision f = pr.training.precision;
  return f == Precision::fp8 || f == Precision::mxfp8 || f == Precision::nvfp4;
}

constexpr std::array kDeepSpeed = {
    LaunchRule{R::gpus, "deepspeed starts the same number of processes on every node (--num_gpus)", part_full_nodes},
    LaunchRule{R::batch,
               "train_batch_size is not equal to micro_batch_per_gpu * gradient_acc_step * world_size (config.py)",
               batch_does_not_divide},
    LaunchRule{R::framework, "ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism (runtime/pipe/engine.py)",
               is_sharded_over_stages},
    LaunchRule{R::schedule, "the pipeline engine has no virtual stages (runtime/pipe/schedule.py)", has_virtual_stages},
    LaunchRule{R::schedule, "the pipeline engine runs 1F1B (TrainSchedule, runtime/pipe/schedule.py)", other_than_1f1b},
    LaunchRule{R::layers, "pipeline.partition is uniform, parameters or a layer's name: no list of layers (module.py)",
               lists_layers},
    LaunchRule{R::layers, "pipeline.partition uniform counts neither embedding nor loss (module.py)", accounts},
    LaunchRule{R::framework, "activation checkpointing of part of a stage is up to the model's code", recomputes_part},
    LaunchRule{R::framework, "selective recomputation is up to the model's code", is_selective},
    LaunchRule{R::sequence, "tensor_parallel.autotp_size shards no sequences", has_sequence_parallel},
    LaunchRule{R::framework, "tensor_parallel.autotp_size overlaps nothing with GEMMs", overlaps_tensor},
    LaunchRule{R::framework, "the pipeline engine waits for its messages (runtime/pipe/p2p.py)", overlaps_sends},
    LaunchRule{R::sequence, "sequence_parallel_size is Ulysses (sequence/layer.py)", context_is_no_ulysses},
    LaunchRule{R::framework, "mics_shard_size takes ZeRO-3 (runtime/zero/mics.py)", groups_without_stage_three},
    LaunchRule{R::model, "ep_size is an argument of the model's MoE layers, not of ds_config", has_experts_over_ranks},
    LaunchRule{R::framework, "activations are offloaded by the model's checkpointing, whole or not at all",
               offloads_activations},
    LaunchRule{R::framework, "offload_optimizer needs ZeRO (runtime/zero/config.py)", offloads_unsharded},
    LaunchRule{R::framework, "offload_optimizer.ratio takes ZeRO-3 (runtime/zero/offload_config.py)", offloads_part},
    LaunchRule{R::framework, "ranks lie as pipe, data, model, outermost first (runtime/pipe/topology.py)",
               other_rank_order},
    LaunchRule{R::precision, "ds_config knows bf16, fp16 and fp32", has_narrow_format},
};

bool heads_do_not_divide(const Problem& pr, const Plan& p) { return pr.model.heads % p.tensor != 0; }
bool too_few_kv_heads(const Problem& pr, const Plan& p) {
  return pr.model.kv_heads < p.tensor || pr.model.kv_heads % p.tensor != 0;
}
bool head_width_is_other(const Problem& pr, const Plan& /*p*/) { return query_width(pr.model) != pr.model.hidden; }
bool norms_heads(const Problem& pr, const Plan& /*p*/) { return pr.model.qk_norm_params > 0; }
bool has_experts(const Problem& pr, const Plan& p) { return pr.model.moe || pr.model.mtp_layers > 0 || p.expert > 1; }
bool layers_fewer_than_stages(const Problem& pr, const Plan& p) {
  return layers_do_not_divide(pr, p) && !accounts(pr, p);
}
bool shards_gradients(const Problem& /*pr*/, const Plan& p) { return p.zero_stage >= 2; }
bool has_groups(const Problem& /*pr*/, const Plan& p) { return p.shard_group > 0; }
bool overlaps_plain_tensor(const Problem& /*pr*/, const Plan& p) { return p.overlap.tensor && !p.sequence_parallel; }
bool reduces_alone(const Problem& /*pr*/, const Plan& p) { return !p.overlap.data && p.data > 1; }
bool sequence_does_not_divide(const Problem& pr, const Plan& p) {
  return p.context > 1 && pr.training.sequence_length % (2 * p.context) != 0;
}
bool context_is_no_gather(const Problem& /*pr*/, const Plan& p) {
  return p.context > 1 && p.context_kind != ContextKind::all_gather;
}
bool has_other_schedule(const Problem& /*pr*/, const Plan& p) { return p.schedule == ScheduleKind::interleaved; }

constexpr std::array kNanotron = {
    LaunchRule{R::gpus, "torchrun starts the same number of processes on every node (--nproc-per-node)",
               part_full_nodes},
    LaunchRule{R::batch, "global batch is micro_batch_size * batch_accumulation_per_replica * dp (config.py)",
               batch_does_not_divide},
    LaunchRule{R::heads, "num_attention_heads must be divisible by tp (config.py)", heads_do_not_divide},
    LaunchRule{R::heads, "num_key_value_heads must be >= tp and divisible by it (config.py, models/llama.py)",
               too_few_kv_heads},
    LaunchRule{R::model, "the width of a head is hidden_size // num_attention_heads (models/llama.py)",
               head_width_is_other},
    LaunchRule{R::model, "models are Llama-like: RMSNorm, gated SiLU, rotary positions, no biases", is_not_llama_like},
    LaunchRule{R::model, "there are no norms over queries and keys (models/qwen.py)", norms_heads},
    LaunchRule{R::model, "experts are not written: their layers differ from a Llama's", has_experts},
    LaunchRule{R::schedule, "pp_engine is 1f1b or afab: no virtual stages (parallelism_config.py)", has_other_schedule},
    LaunchRule{R::layers, "stages are cut by the blocks' cost: no list of layers (models/base.py)", lists_layers},
    LaunchRule{R::layers,
               "stages are cut by the blocks' cost: embedding and loss do not count as layers (models/base.py)",
               accounts},
    LaunchRule{R::layers, "layers that do not divide by pp are cut otherwise than planned (models/base.py)",
               layers_fewer_than_stages},
    LaunchRule{R::framework, "recompute_layer takes every layer (parallelism_config.py)", recomputes_part},
    LaunchRule{R::framework, "recompute_layer takes whole layers (parallelism_config.py)", is_selective},
    LaunchRule{R::framework, "optimizer.zero_stage is 0 or 1 (optim/zero.py)", shards_gradients},
    LaunchRule{R::framework, "ZeRO-1 shards over all of dp (optim/zero.py)", has_groups},
    LaunchRule{R::framework,
               "tp_linear_async_communication takes tp_mode REDUCE_SCATTER (tensor_parallel/functional.py)",
               overlaps_plain_tensor},
    LaunchRule{R::framework, "gradients are always reduced beside the backward pass (parallel/data_parallel)",
               reduces_alone},
    LaunchRule{R::framework, "pipeline stages wait for their messages (pipeline_parallel/p2p.py)", overlaps_sends},
    LaunchRule{R::sequence,
               "sequence length must be divisible by 2 * cp when using llama3 ring attention (models/qwen.py)",
               sequence_does_not_divide},
    LaunchRule{R::sequence, "context parallelism gathers keys and values: llama3_ring_attention (models/qwen.py)",
               context_is_no_gather},
    LaunchRule{R::framework, "nothing is kept in host memory", offloads},
    LaunchRule{R::framework, "ranks lie as pp, dp, cp, tp, outermost first (parallel/context.py)", other_rank_order},
    LaunchRule{R::precision, "model.dtype is bfloat16, float16 or float32", has_narrow_format},
};

}  // namespace

std::span<const LaunchRule> deepspeed() { return kDeepSpeed; }
std::span<const LaunchRule> nanotron() { return kNanotron; }

}  // namespace foretrain::rules
