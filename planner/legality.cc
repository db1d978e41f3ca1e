#include "planner/legality.h"

#include <algorithm>

#include "planner/placement.h"
#include "planner/plan_cost.h"

namespace foretrain {
namespace {

using R = RejectionReason;

constexpr Rejection refuse(RejectionReason reason, std::string_view rule) { return {.reason = reason, .rule = rule}; }

std::optional<Rejection> break_of_model_rule(const Problem& p, const Plan& plan) {
  const ModelSpec& m = p.model;
  const bool torchtitan = p.software.framework == FrameworkKind::torchtitan;
  if (!m.not_plannable.empty()) return refuse(R::model, "the model has parts that cannot be planned yet");
  if (m.mtp_layers > 0) return refuse(R::model, "multi-token prediction layers are not planned yet");
  if (plan.expert > 1 && !m.moe) return refuse(R::model, "expert parallelism needs a model with experts");
  // transformer_config.py: heads divide by tensor; query groups divide by tensor or tensor by them (torchtitan: only
  // the former).
  if (m.heads % plan.tensor != 0) return refuse(R::heads, "attention heads must divide by tensor");
  if (m.kv_heads % plan.tensor != 0 && (torchtitan || plan.tensor % m.kv_heads != 0)) {
    return refuse(R::heads, "key-value heads must divide by tensor, or tensor by them");
  }
  // core/tensor_parallel divide(): column- and row-parallel widths.
  if (m.ffn_hidden % plan.tensor != 0) return refuse(R::divisibility, "ffn_hidden must divide by tensor");
  if (plan.context_kind == ContextKind::ulysses && plan.context > 1 && (m.heads / plan.tensor) % plan.context != 0) {
    return refuse(R::heads, "heads per tensor rank must divide by context (ulysses)");
  }
  return std::nullopt;
}

std::optional<Rejection> break_of_sequence_rule(const Problem& p, const Plan& plan) {
  const std::int64_t s = p.training.sequence_length;
  if (plan.sequence_parallel && plan.tensor == 1) return refuse(R::sequence, "sequence parallelism needs tensor > 1");
  // arguments.py: seq % (2 cp) == 0; mappings.py: the sequence dimension divides by tensor.
  if (plan.context > 1 && s % (2 * plan.context) != 0)
    return refuse(R::sequence, "sequence_length must divide by 2 x context");
  // arguments.py: context parallelism comes with Transformer Engine's attention.
  if (plan.context > 1 && p.software.attention == AttentionKind::unfused)
    return refuse(R::sequence, "context parallelism needs flash attention");
  if (plan.sequence_parallel && (s / plan.context) % plan.tensor != 0) {
    return refuse(R::sequence, "sequence_length / context must divide by tensor under sequence parallelism");
  }
  if (plan.overlap.tensor && !plan.sequence_parallel && plan.tensor > 1 &&
      p.software.framework == FrameworkKind::megatron_core) {
    return refuse(R::sequence, "tensor overlap needs sequence parallelism");  // arguments.py: --tp-comm-overlap
  }
  return std::nullopt;
}

std::optional<Rejection> break_of_batch_rule(const Problem& p, const Plan& plan) {
  // num_microbatches_calculator.py; DeepSpeed: train_batch_size == micro x accumulation x data.
  const std::int64_t each = std::int64_t{plan.micro_batch} * plan.data;
  if (p.training.global_batch < each)
    return refuse(R::batch, "global_batch must hold one micro-batch for each data rank");
  if (p.training.global_batch % each != 0) return refuse(R::batch, "global_batch must divide by micro_batch x data");
  return std::nullopt;
}

std::optional<Rejection> break_of_pipeline_rule(const Problem& p, const Plan& plan) {
  const std::int64_t virtual_stages = std::int64_t{plan.pipeline} * plan.virtual_pipeline;
  const bool interleaved = plan.schedule == ScheduleKind::interleaved;
  if (plan.virtual_pipeline > 64) return refuse(R::schedule, "virtual_pipeline of more than 64 is not supported");
  if (interleaved != (plan.virtual_pipeline > 1))
    return refuse(R::schedule, "the interleaved schedule and virtual_pipeline > 1 go together");
  if (plan.virtual_pipeline > 1 && plan.pipeline == 1)
    return refuse(R::schedule, "virtual_pipeline needs pipeline > 1");
  // arguments.py: interleaving without overlapped p2p needs more than two stages.
  if (interleaved && plan.pipeline == 2 && !plan.overlap.pipeline) {
    return refuse(R::schedule, "interleaving over two stages needs overlapped pipeline communication");
  }
  if (interleaved) {
    // schedules.py: with the default group size the micro-batches divide by the stages.
    const std::int64_t m = p.training.global_batch / (std::int64_t{plan.micro_batch} * plan.data);
    if (m % plan.pipeline != 0) return refuse(R::schedule, "interleaving needs micro-batches that divide by pipeline");
  }
  if (!plan.stage_layers.empty()) {
    std::int64_t sum = 0;
    for (const std::int32_t n : plan.stage_layers) sum += n;
    const std::int64_t listed = static_cast<std::int64_t>(plan.stage_layers.size());
    if (listed != virtual_stages && listed != plan.pipeline)
      return refuse(R::layers, "stage_layers must name every stage");
    if (sum != p.model.layers) return refuse(R::layers, "stage_layers must sum to the model's layers");
    return std::nullopt;
  }
  const std::int64_t counted = p.model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
  if (virtual_stages > counted) return refuse(R::layers, "there must be a layer for every virtual stage");
  // arguments.py: layers (with what counts as one) divide by pipeline, and each stage's by virtual_pipeline. DeepSpeed
  // partitions unevenly, and so does torchtitan.
  const bool uneven_allowed = p.software.framework == FrameworkKind::megatron_deepspeed ||
                              p.software.framework == FrameworkKind::deepspeed ||
                              p.software.framework == FrameworkKind::torchtitan;
  if (counted % virtual_stages != 0 && !uneven_allowed) {
    return refuse(R::layers, "layers must divide by pipeline x virtual_pipeline");
  }
  if (plan.recompute_layers > counted / virtual_stages)
    return refuse(R::layers, "recompute_layers exceeds the layers of a chunk");
  return std::nullopt;
}

std::optional<Rejection> break_of_framework_rule(const Problem& p, const Plan& plan) {
  const FrameworkKind f = p.software.framework;
  if (plan.zero_stage < 0 || plan.zero_stage > 3) return refuse(R::framework, "zero_stage is 0, 1, 2 or 3");
  if (plan.shard_group > 0 && (std::int64_t{plan.data} * plan.context) % plan.shard_group != 0) {
    return refuse(R::divisibility, "data x context must divide by shard_group");
  }
  // DeepSpeed runtime/engine.py: ZeRO-2 and 3 are incompatible with the pipeline engine. Megatron-LM: sharded gradients
  // and parameters come with its FSDP, which this planner models without pipeline stages.
  const bool pipelines_sharded = f == FrameworkKind::torchtitan || f == FrameworkKind::generic;
  if (plan.zero_stage >= 2 && plan.pipeline > 1 && !pipelines_sharded) {
    return refuse(R::framework, "ZeRO-2 and ZeRO-3 do not go with pipeline stages in this framework");
  }
  if ((f == FrameworkKind::fsdp || f == FrameworkKind::maxtext) && plan.pipeline > 1) {
    return refuse(R::framework, "this framework has no pipeline stages");
  }
  if (plan.recompute_layers > 0 && plan.recompute != Recompute::full) {
    return refuse(R::framework, "recompute_layers needs full recomputation");  // arguments.py
  }
  if (plan.rank_order != Plan{}.rank_order)
    return refuse(R::framework, "only the rank order tp-cp-ep-dp-pp is modelled yet");
  if (plan.offload.activations > 0 || plan.offload.optimizer > 0)
    return refuse(R::framework, "offload is not modelled yet");
  return std::nullopt;
}

}  // namespace

std::optional<Rejection> break_of_rule(const Problem& p, const Plan& plan) {
  if (gpus_used(plan) > p.cluster.gpus) return refuse(R::gpus, "tensor x pipeline x data x context exceeds the GPUs");
  if (auto r = break_of_batch_rule(p, plan)) return r;
  if (auto r = break_of_model_rule(p, plan)) return r;
  if (auto r = break_of_sequence_rule(p, plan)) return r;
  if (auto r = break_of_pipeline_rule(p, plan)) return r;
  return break_of_framework_rule(p, plan);
}

std::optional<Rejection> break_of_time(const Problem& p, const Plan& plan, const BlockCosts& blocks) {
  const auto seconds_of = [](const BlockCost& b) { return to_seconds(std::max(b.gpu, b.host)); };
  const double layers = static_cast<double>(ceil_div(p.model.layers, plan.pipeline)) + 1;
  const double passes = static_cast<double>(micro_batches(p, plan)) + plan.pipeline;
  const Seconds ends = seconds_of(blocks.head_forward) + seconds_of(blocks.head_backward);
  const Seconds step =
      passes * (layers * (seconds_of(blocks.layer_forward) + seconds_of(blocks.layer_backward)) + ends);
  if (step < kLongestSimulatedTime / 3.0) return std::nullopt;
  return refuse(R::time, "a step would take more than ten days");
}

}  // namespace foretrain
