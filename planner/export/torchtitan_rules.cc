/// torchtitan: what stops its launch. D parallel_dims.py, P pipeline_parallel.py, C config/configs.py, R trainer.py,
/// M models/common/decoder.py, S torch/distributed/pipelining/schedules.py, J v0.2.2 config/job_config.py.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "planner/export/rule_tables.h"

namespace foretrain::rules {
namespace {

using R = RejectionReason;

std::int64_t stages_of(const Plan& p) { return std::int64_t{p.pipeline} * p.virtual_pipeline; }

bool experts_not_over_shards(const Problem& pr, const Plan& p) {
  return pr.model.moe &&
         (std::int64_t{p.data} * p.context * p.tensor % p.expert != 0 || pr.model.moe->experts % p.expert != 0);
}
bool experts_of_dense(const Problem& pr, const Plan& p) { return p.expert > 1 && !pr.model.moe; }
bool has_expert_tensor(const Problem& /*pr*/, const Plan& p) { return p.expert_tensor > 1; }
bool expert_tensor_is_other(const Problem& /*pr*/, const Plan& p) {
  return p.expert_tensor > 1 && p.expert_tensor != p.tensor;
}
bool heads_do_not_divide(const Problem& pr, const Plan& p) {
  return pr.model.heads % p.tensor != 0 || pr.model.kv_heads % p.tensor != 0;
}
bool tokens_do_not_divide(const Problem& pr, const Plan& p) {
  const std::int64_t divisor = std::int64_t{p.sequence_parallel ? p.tensor : 1} * (p.context > 1 ? 2 * p.context : 1);
  return p.micro_batch * pr.training.sequence_length % divisor != 0;
}
bool sequence_does_not_divide(const Problem& pr, const Plan& p) {
  return pr.training.sequence_length % (std::int64_t{p.tensor} * (p.context > 1 ? 2 * p.context : 1)) != 0;
}
bool ties_over_stages(const Problem& pr, const Plan& p) { return p.pipeline > 1 && pr.model.tied_embeddings; }
bool graphs_over_stages(const Problem& pr, const Plan& p) { return p.pipeline > 1 && pr.software.cuda_graphs; }
bool predicts_tokens_in_parts(const Problem& pr, const Plan& p) {
  return pr.model.mtp_layers > 0 && (p.pipeline > 1 || p.context > 1);
}
bool stages_are_empty(const Problem& pr, const Plan& p) {
  return p.pipeline > 1 && p.stage_layers.empty() &&
         stages_of(p) > pr.model.layers + (p.account_for_embedding ? 1 : 0) + (p.account_for_loss ? 1 : 0);
}
bool lists_other_layers(const Problem& pr, const Plan& p) {
  return !p.stage_layers.empty() &&
         (p.stage_layers.size() != static_cast<std::size_t>(stages_of(p)) ||
          std::accumulate(p.stage_layers.begin(), p.stage_layers.end(), std::int64_t{0}) != pr.model.layers);
}
bool too_few_micro_batches(const Problem& pr, const Plan& p) {
  return p.pipeline > 1 && p.schedule == ScheduleKind::one_f_one_b && micro_batch_count(pr, p) < p.pipeline;
}
bool rounds_do_not_divide(const Problem& pr, const Plan& p) {
  if (p.virtual_pipeline == 1) return false;
  const std::int64_t m = micro_batch_count(pr, p);
  return m % std::max<std::int64_t>(1, m / p.pipeline) != 0;
}
bool interleaves_alone(const Problem& /*pr*/, const Plan& p) { return p.virtual_pipeline > 1 && p.pipeline == 1; }
bool context_is_no_gather(const Problem& /*pr*/, const Plan& p) {
  return p.context > 1 && p.context_kind != ContextKind::all_gather;
}
bool context_is_ulysses(const Problem& /*pr*/, const Plan& p) {
  return p.context > 1 && p.context_kind == ContextKind::ulysses;
}
bool overlaps_without_compile(const Problem& pr, const Plan& p) { return p.overlap.tensor && !pr.software.compile; }
bool shards_optimizer_alone(const Problem& /*pr*/, const Plan& p) { return p.zero_stage == 1; }
bool replicates_over_context(const Problem& /*pr*/, const Plan& p) { return p.zero_stage == 0 && p.context > 1; }
bool group_splits_context(const Problem& /*pr*/, const Plan& p) {
  return p.shard_group > 0 && (p.shard_group % p.context != 0 || p.data % std::max(1, p.shard_group / p.context) != 0);
}
bool reduces_alone(const Problem& /*pr*/, const Plan& p) {
  return !p.overlap.data && std::int64_t{p.data} * p.context > 1;
}
bool overlaps_sends(const Problem& /*pr*/, const Plan& p) { return p.overlap.pipeline && p.pipeline > 1; }
bool no_sequence_parallel(const Problem& /*pr*/, const Plan& p) { return p.tensor > 1 && !p.sequence_parallel; }
bool other_format(const Problem& pr, const Plan& /*p*/) { return pr.training.precision == Precision::fp16; }
bool other_format_of_old(const Problem& pr, const Plan& /*p*/) {
  return pr.training.precision == Precision::fp16 || pr.training.precision == Precision::nvfp4;
}
bool other_optimizer(const Problem& pr, const Plan& /*p*/) { return pr.training.optimizer != Optimizer::adam; }

constexpr LaunchRule kNodes = {R::gpus, "torchrun starts the same number of processes on every node (--nproc-per-node)",
                               part_full_nodes};
constexpr LaunchRule kBatch = {R::batch,
                               "global batch must be divisible by the microbatch of every data parallel rank (R)",
                               batch_does_not_divide};
constexpr LaunchRule kDense = {R::model, "expert_parallel_degree is for models with experts", experts_of_dense};
constexpr LaunchRule kExperts = {R::model, "dp_shard * cp * tp and the experts must be divisible by ep (D)",
                                 experts_not_over_shards};
constexpr LaunchRule kHeads = {R::heads, "n_heads and n_kv_heads must be divisible by tensor_parallel_degree (M)",
                               heads_do_not_divide};
constexpr LaunchRule kTied = {R::model, "weight tying is not supported with pipeline parallelism (model.py)",
                              ties_over_stages};
constexpr LaunchRule kEmpty = {R::layers, "number of stages cannot be greater than effective layers (P)",
                               stages_are_empty};
constexpr LaunchRule kListed = {
    R::layers, "module_fqns_per_model_part must hold every layer once, in pp x stages parts (P)", lists_other_layers};
constexpr LaunchRule kOneStage = {R::schedule, "multi-stage schedules need pipeline_parallel_degree > 1 (P)",
                                  interleaves_alone};
constexpr LaunchRule kFew = {R::schedule, "1F1B requires at least as many microbatches as stages (S)",
                             too_few_micro_batches};
constexpr LaunchRule kRounds = {R::schedule,
                                "Interleaved1F1B requires microbatches to be a multiple of the number of rounds (S)",
                                rounds_do_not_divide};
constexpr LaunchRule kAsync = {R::framework, "async TP requires 'model' in compile.components and compile.enable (C)",
                               overlaps_without_compile};
constexpr LaunchRule kZeroOne = {
    R::framework, "parameters are sharded with their optimizer, or replicated: no ZeRO-1 (D)", shards_optimizer_alone};
constexpr LaunchRule kContextShards = {R::framework, "context parallel ranks always shard parameters (D)",
                                       replicates_over_context};
constexpr LaunchRule kGroup = {R::divisibility, "dp_replicate * dp_shard * cp * tp * pp must equal the world size (D)",
                               group_splits_context};
constexpr LaunchRule kPart = {
    R::framework, "full activation checkpointing takes every layer (activation_checkpoint.py)", recomputes_part};
constexpr LaunchRule kPrefetch = {R::framework, "FSDP always gathers and reduces beside compute", reduces_alone};
constexpr LaunchRule kSends = {R::framework, "pipeline stages wait for what they receive (S)", overlaps_sends};
constexpr LaunchRule kOrder = {R::framework, "the mesh is pp, dp_replicate, dp_shard, cp, tp, outermost first (D)",
                               other_rank_order};
constexpr LaunchRule kOffload = {R::framework,
                                 "enable_cpu_offload moves parameters, gradients and optimizer together (C)", offloads};
constexpr LaunchRule kModel = {R::model, "models are Llama-like: RMSNorm, gated SiLU, rotary positions, no biases",
                               is_not_llama_like};
constexpr LaunchRule kOptimizer = {R::framework, "optimizers are Adam and AdamW (C)", other_optimizer};

constexpr std::array kRules = {
    kNodes,
    kBatch,
    kDense,
    kExperts,
    LaunchRule{R::framework, "there is no expert tensor parallelism (D)", has_expert_tensor},
    kHeads,
    LaunchRule{R::sequence,
               "the number of tokens per pipeline microbatch must be divisible by tp (with sequence parallel) "
               "x 2 cp (R)",
               tokens_do_not_divide},
    kTied,
    LaunchRule{R::framework, "CUDA graphs do not support pipeline parallelism: training.disable_cuda_graphs (C)",
               graphs_over_stages},
    LaunchRule{R::model, "multi-token prediction goes neither with pipeline nor with context parallelism",
               predicts_tokens_in_parts},
    kEmpty,
    kListed,
    kOneStage,
    kFew,
    kRounds,
    LaunchRule{R::sequence, "context parallelism is FlexAttention with gathered keys and values alone (R)",
               context_is_no_gather},
    kAsync,
    kZeroOne,
    kContextShards,
    kGroup,
    kPart,
    kPrefetch,
    kSends,
    kOrder,
    kOffload,
    kModel,
    LaunchRule{R::precision, "there is no fp16 (C: mixed_precision_param)", other_format},
    kOptimizer};

constexpr std::array kRulesOfOld = {
    kNodes,
    kBatch,
    kDense,
    kExperts,
    LaunchRule{R::framework, "expert_tensor_parallel_degree must be 1 or tensor_parallel_degree (D)",
               expert_tensor_is_other},
    kHeads,
    LaunchRule{R::sequence, "seq_len must be divisible by tp * 2 * cp (D)", sequence_does_not_divide},
    LaunchRule{R::sequence, "tensor parallelism always comes with sequence parallelism (models/*/infra/parallelize.py)",
               no_sequence_parallel},
    kTied,
    kEmpty,
    kListed,
    kOneStage,
    kFew,
    kRounds,
    LaunchRule{R::sequence, "context_parallel_rotate_method is allgather or alltoall (J)", context_is_ulysses},
    kAsync,
    kZeroOne,
    kContextShards,
    kGroup,
    kPart,
    kPrefetch,
    kSends,
    kOrder,
    kOffload,
    kModel,
    LaunchRule{R::precision, "there is neither fp16 nor nvfp4 (J)", other_format_of_old},
    kOptimizer};

}  // namespace

std::span<const LaunchRule> torchtitan() { return kRules; }
std::span<const LaunchRule> torchtitan_toml() { return kRulesOfOld; }

}  // namespace foretrain::rules
