/// Megatron-LM: what stops pretrain_gpt.py. Texts are the trainer's own words where it has some; A arguments.py,
/// T transformer_config.py, M model_parallel_config.py, P parallel_state.py, S schedules.py,
/// N num_microbatches_calculator.py, L tensor_parallel, Y pipeline_parallel_layer_layout.py.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "planner/export/rule_tables.h"

namespace foretrain::rules {
namespace {

using R = RejectionReason;

std::int64_t world(const Plan& p) { return gpus_used(p); }
std::int64_t expert_grid(const Plan& p) { return std::int64_t{p.expert_tensor} * p.expert * p.pipeline; }
bool is_fully_sharded(const Plan& p) { return p.zero_stage >= 2; }

// World and batch.
bool expert_grid_does_not_fit(const Problem& pr, const Plan& p) {
  return pr.model.moe && world(p) % expert_grid(p) != 0;
}
bool pp_before_dp_with_other_expert_data(const Problem& pr, const Plan& p) {
  return pr.model.moe && p.rank_order == "tp-cp-ep-pp-dp" && p.pipeline > 1 && world(p) / expert_grid(p) != p.data;
}
bool instances_do_not_divide(const Problem& pr, const Plan& p) {
  if (p.shard_group == 0) return false;
  const std::int64_t ranks = std::int64_t{p.data} * p.context;
  if (ranks % p.shard_group != 0) return true;
  const std::int64_t instances = ranks / p.shard_group;
  return pr.model.moe && (world(p) / expert_grid(p)) % instances != 0;
}
bool group_size_does_not_divide(const Problem& pr, const Plan& p) {
  return p.virtual_pipeline > 1 &&
         (micro_batch_count(pr, p) % p.pipeline != 0 || micro_batch_count(pr, p) < p.pipeline);
}

// Model against tensor, sequence and context parallelism.
bool heads_do_not_divide(const Problem& pr, const Plan& p) { return pr.model.heads % p.tensor != 0; }
bool query_groups_do_not_divide(const Problem& pr, const Plan& p) {
  return !pr.model.mla && pr.model.kv_heads % p.tensor != 0 && p.tensor % pr.model.kv_heads != 0;
}
bool widths_do_not_divide(const Problem& pr, const Plan& p) {
  if (pr.model.moe && pr.model.moe->expert_ffn_hidden % p.expert_tensor != 0) return true;
  return pr.model.ffn_hidden % p.tensor != 0 || query_width(pr.model) % p.tensor != 0;
}
bool sequence_parallel_alone(const Problem& /*pr*/, const Plan& p) { return p.sequence_parallel && p.tensor == 1; }
bool sequence_does_not_divide_by_tensor(const Problem& pr, const Plan& p) {
  return p.sequence_parallel && (pr.training.sequence_length / p.context) % p.tensor != 0;
}
bool sequence_does_not_divide_by_context(const Problem& pr, const Plan& p) {
  return p.context > 1 && pr.training.sequence_length % (2 * p.context) != 0;
}
bool heads_do_not_divide_by_context(const Problem& pr, const Plan& p) {
  return p.context > 1 && p.context_kind == ContextKind::ulysses && (pr.model.heads / p.tensor) % p.context != 0;
}
bool positions_too_few(const Problem& pr, const Plan& /*p*/) {
  return pr.model.position == PositionKind::learned && pr.model.max_positions < pr.training.sequence_length;
}
bool tensor_overlap_without_sequence(const Problem& /*pr*/, const Plan& p) {
  return p.overlap.tensor && !p.sequence_parallel;
}

// Pipeline.
bool layout_beside_accounting(const Problem& /*pr*/, const Plan& p) {
  return !p.stage_layers.empty() && (p.account_for_embedding || p.account_for_loss);
}
bool layout_has_other_stages(const Problem& /*pr*/, const Plan& p) {
  return !p.stage_layers.empty() &&
         p.stage_layers.size() != static_cast<std::size_t>(p.pipeline) * static_cast<std::size_t>(p.virtual_pipeline);
}
bool layout_has_other_layers(const Problem& pr, const Plan& p) {
  return !p.stage_layers.empty() &&
         std::accumulate(p.stage_layers.begin(), p.stage_layers.end(), std::int64_t{0}) != pr.model.layers;
}
bool interleaves_alone(const Problem& /*pr*/, const Plan& p) { return p.virtual_pipeline > 1 && p.pipeline == 1; }
bool interleaves_two_without_overlap(const Problem& /*pr*/, const Plan& p) {
  return p.virtual_pipeline > 1 && p.pipeline <= 2 && !p.overlap.pipeline;
}
bool overlaps_plain_schedule(const Problem& /*pr*/, const Plan& p) {
  return p.virtual_pipeline == 1 && p.pipeline > 1 && p.overlap.pipeline;
}
bool runs_other_schedule(const Problem& /*pr*/, const Plan& p) {
  const ScheduleKind own = p.virtual_pipeline > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  return p.pipeline > 1 && p.schedule != own;
}
bool offloads_activations_in_pipeline(const Problem& /*pr*/, const Plan& p) {
  return p.offload.activations > 0 && p.pipeline > 1;
}
bool offloads_what_it_recomputes(const Problem& /*pr*/, const Plan& p) {
  return p.offload.activations > 0 && p.recompute != Recompute::none;
}
bool offloads_all_layers(const Problem& /*pr*/, const Plan& p) { return p.offload.activations >= 1; }

// Data parallelism, optimizer, recomputation, formats.
bool offloads_other_optimizer(const Problem& pr, const Plan& p) {
  return p.offload.optimizer > 0 && (pr.training.optimizer != Optimizer::adam || is_fully_sharded(p));
}
bool offloads_unsharded_optimizer(const Problem& /*pr*/, const Plan& p) {
  return p.offload.optimizer > 0 && p.zero_stage == 0;
}
bool counts_layers_of_other_recompute(const Problem& /*pr*/, const Plan& p) {
  return p.recompute_layers > 0 && p.recompute != Recompute::full;
}
bool unknown_rank_order(const Problem& /*pr*/, const Plan& p) {
  return p.rank_order != "tp-cp-ep-dp-pp" && p.rank_order != "tp-cp-ep-pp-dp";
}

// Experts, latent attention, multi-token prediction.
bool experts_of_dense_model(const Problem& pr, const Plan& p) { return p.expert > 1 && !pr.model.moe; }
bool experts_do_not_divide(const Problem& pr, const Plan& p) {
  return pr.model.moe && pr.model.moe->experts % p.expert != 0;
}
bool biased_experts_are_split(const Problem& pr, const Plan& p) {
  return pr.model.moe && p.expert_tensor > 1 && (pr.model.moe->expert_bias || pr.model.mlp_bias);
}
bool predicts_tokens_with_other_positions(const Problem& pr, const Plan& /*p*/) {
  return pr.model.mtp_layers > 0 && pr.model.position != PositionKind::rope && pr.model.position != PositionKind::none;
}

// Parts of models that pretrain_gpt.py has no flag for.
bool position_has_no_flag(const Problem& pr, const Plan& /*p*/) {
  return pr.model.position == PositionKind::alibi || pr.model.position_extra_rows > 0;
}
bool activation_has_no_flag(const Problem& pr, const Plan& /*p*/) {
  const ModelSpec& m = pr.model;
  return m.activation == Activation::relu || (m.gated_mlp != (m.activation == Activation::silu));
}
bool block_has_no_flag(const Problem& pr, const Plan& /*p*/) {
  const ModelSpec& m = pr.model;
  return m.norms_per_layer != 2 || m.parallel_block || m.embedding_norm || !m.final_norm || m.extra_params != 0 ||
         m.lm_head_bias || (m.qk_norm_params != 0 && m.qk_norm_params != 2 * m.head_dim);
}
bool biases_have_no_flag(const Problem& pr, const Plan& /*p*/) {
  const ModelSpec& m = pr.model;
  return m.attention_out_bias != m.mlp_bias || (m.attention_out_bias && !m.qkv_bias) ||
         (m.norm == NormKind::layer && !m.norm_bias);
}

constexpr std::array kRules = {
    LaunchRule{R::gpus, "torchrun starts the same number of processes on every node (--nproc-per-node)",
               part_full_nodes},
    LaunchRule{R::gpus, "world size is not divisible by expert tensor x expert x pipeline size (P)",
               expert_grid_does_not_fit},
    LaunchRule{R::gpus, "expert data parallel size must equal data parallel size under --use-tp-pp-dp-mapping (P)",
               pp_before_dp_with_other_expert_data},
    LaunchRule{R::divisibility,
               "data parallel size x context must be divisible by --num-distributed-optimizer-instances (P)",
               instances_do_not_divide},
    LaunchRule{R::batch, "global batch size is not divisible by micro batch size times data parallel size (N)",
               batch_does_not_divide},
    LaunchRule{R::schedule,
               "number of microbatches is not divisible by pipeline-parallel-size when using interleaved "
               "schedule (S)",
               group_size_does_not_divide},
    LaunchRule{R::heads, "num_attention_heads must be a multiple of tensor_model_parallel_size (T)",
               heads_do_not_divide},
    LaunchRule{R::heads, "num_query_groups must be a multiple or divisor of tensor_model_parallel_size (T)",
               query_groups_do_not_divide},
    LaunchRule{R::divisibility, "ffn, expert and projection widths must be divisible by their tensor size (L divide())",
               widths_do_not_divide},
    LaunchRule{R::sequence, "can not use sequence parallelism without tensor parallelism (M)", sequence_parallel_alone},
    LaunchRule{R::sequence, "first dimension of the tensor should be divisible by tensor parallel size (L mappings.py)",
               sequence_does_not_divide_by_tensor},
    LaunchRule{R::sequence,
               "seq-length should be a multiple of 2 * context-parallel-size if context-parallel-size > 1 (A)",
               sequence_does_not_divide_by_context},
    LaunchRule{R::heads,
               "heads of a tensor rank must be divisible by context-parallel-size with --cp-comm-type a2a "
               "(TransformerEngine context_parallel.py)",
               heads_do_not_divide_by_context},
    LaunchRule{R::sequence, "max_position_embeddings must be greater than or equal to seq_length (A)",
               positions_too_few},
    LaunchRule{R::sequence,
               "tensor parallel communication/GEMM overlap can happen only when sequence parallelism is enabled (A)",
               tensor_overlap_without_sequence},
    LaunchRule{R::layers,
               "pipeline_model_parallel_layout excludes account_for_embedding_in_pipeline_split and "
               "account_for_loss_in_pipeline_split (T)",
               layout_beside_accounting},
    LaunchRule{R::layers,
               "the length of pipeline_model_parallel_layout must be divisible by "
               "pipeline_model_parallel_size (A)",
               layout_has_other_stages},
    LaunchRule{R::layers, "number of decoder layers in the layout must match num_layers (Y)", layout_has_other_layers},
    LaunchRule{R::layers,
               "number of layers should be divisible by the pipeline-model-parallel size and its virtual "
               "stages (A)",
               layers_do_not_divide},
    LaunchRule{R::schedule,
               "when interleaved schedule is used, pipeline-model-parallel size should be greater than 1 (A)",
               interleaves_alone},
    LaunchRule{R::schedule,
               "when interleaved schedule is used and p2p communication overlap is disabled, "
               "pipeline-model-parallel size should be greater than 2 (A)",
               interleaves_two_without_overlap},
    LaunchRule{R::schedule, "non-interleaved schedule does not support overlapping p2p communication (A)",
               overlaps_plain_schedule},
    LaunchRule{R::schedule, "Megatron-LM runs 1F1B and its interleaved form, no other schedule (S)",
               runs_other_schedule},
    LaunchRule{R::framework, "CPU offloading does not work with pipeline parallelism (T)",
               offloads_activations_in_pipeline},
    LaunchRule{R::framework, "CPU offloading does not work when activation recomputation is enabled (T)",
               offloads_what_it_recomputes},
    LaunchRule{R::framework, "CPU offloading can be done only for layers less than the number of layers (T)",
               offloads_all_layers},
    LaunchRule{R::framework,
               "--use-precision-aware-optimizer, which --optimizer-cpu-offload needs, takes adam without "
               "FSDP (A)",
               offloads_other_optimizer},
    LaunchRule{R::framework,
               "--use-precision-aware-optimizer, which --optimizer-cpu-offload needs, takes the "
               "distributed optimizer (A)",
               offloads_unsharded_optimizer},
    LaunchRule{R::framework, "--recompute-num-layers must be unset with selective recomputation (T)",
               counts_layers_of_other_recompute},
    LaunchRule{R::framework, "ranks lie as tp-cp-ep-dp-pp, or tp-cp-ep-pp-dp with --use-tp-pp-dp-mapping (P)",
               unknown_rank_order},
    LaunchRule{R::model, "num_moe_experts must be non None to use expert-parallel (T)", experts_of_dense_model},
    LaunchRule{R::model, "number of experts should be a multiple of expert model parallel_size (A)",
               experts_do_not_divide},
    LaunchRule{R::model, "MoE with linear bias takes no expert tensor parallelism (moe/experts.py)",
               biased_experts_are_split},
    LaunchRule{R::model, "Multi-Token Prediction is supported with rope and none position embedding types (A)",
               predicts_tokens_with_other_positions},
    LaunchRule{R::model, "--position-embedding-type knows learned_absolute, rope and none of these (A)",
               position_has_no_flag},
    LaunchRule{R::model, "no flag for this activation: --swiglu or GELU (A)", activation_has_no_flag},
    LaunchRule{R::model, "no flag for this layer: two norms in sequence, a final norm, norms over whole heads (A)",
               block_has_no_flag},
    LaunchRule{R::model, "no flag for these biases: all, none, or those of queries, keys and values (A)",
               biases_have_no_flag},
};

bool is_no_plain_transformer(const Problem& pr, const Plan& /*p*/) { return pr.model.mla || pr.model.mtp_layers > 0; }
bool has_longer_positions(const Problem& pr, const Plan& /*p*/) {
  return pr.model.position == PositionKind::learned && pr.model.max_positions != pr.training.sequence_length;
}

/// Megatron-Bridge builds on the same core, which checks the same; two rules are its own.
constexpr auto kBridgeRules = [] {
  std::array<LaunchRule, kRules.size() + 2> all{};
  std::copy(kRules.begin(), kRules.end(), all.begin());
  all[kRules.size()] = {R::model, "GPTModelProvider has no latent attention and no multi-token prediction",
                        is_no_plain_transformer};
  all[kRules.size() + 1] = {R::model, "GPTModelProvider's learned positions are as many as seq_length",
                            has_longer_positions};
  return all;
}();

}  // namespace

std::span<const LaunchRule> megatron_lm() { return kRules; }
std::span<const LaunchRule> megatron_bridge() { return kBridgeRules; }

}  // namespace foretrain::rules
