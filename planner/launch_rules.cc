#include "planner/launch_rules.h"

#include <algorithm>

#include "planner/export/rule_tables.h"

namespace foretrain {
namespace rules {

bool part_full_nodes(const Problem& problem, const Plan& plan) {
  const std::int64_t gpus = gpus_used(plan), of_node = problem.cluster.node.gpus_per_node;
  return gpus > of_node && gpus % of_node != 0;
}
bool batch_does_not_divide(const Problem& problem, const Plan& plan) {
  const std::int64_t each = std::int64_t{plan.micro_batch} * plan.data;
  return problem.training.global_batch < each || problem.training.global_batch % each != 0;
}
bool layers_do_not_divide(const Problem& problem, const Plan& plan) {
  if (!plan.stage_layers.empty()) return false;
  const std::int64_t counted =
      problem.model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
  return counted % (std::int64_t{plan.pipeline} * plan.virtual_pipeline) != 0;
}
bool is_not_llama_like(const Problem& problem, const Plan& /*plan*/) {
  const ModelSpec& m = problem.model;
  const bool is_block = m.norm == NormKind::rms && m.norms_per_layer == 2 && !m.parallel_block && m.final_norm &&
                        !m.embedding_norm && m.extra_params == 0 && !m.lm_head_bias;
  return !is_block || !m.gated_mlp || m.activation != Activation::silu || m.position != PositionKind::rope ||
         m.attention_out_bias || m.mlp_bias || m.dropout > 0 || m.mla.has_value();
}
bool offloads(const Problem& /*problem*/, const Plan& plan) {
  return plan.offload.optimizer > 0 || plan.offload.activations > 0;
}

}  // namespace rules

std::span<const LaunchRule> launch_rules(Trainer trainer) {
  switch (trainer) {
    case Trainer::megatron_lm:
      return rules::megatron_lm();
    case Trainer::megatron_bridge:
      return rules::megatron_bridge();
    case Trainer::torchtitan:
      return rules::torchtitan();
    case Trainer::torchtitan_toml:
      return rules::torchtitan_toml();
    case Trainer::deepspeed:
      return rules::deepspeed();
    case Trainer::nanotron:
      return rules::nanotron();
  }
  return {};
}

std::optional<Rejection> break_of_launch_rule(Trainer trainer, const Problem& problem, const Plan& plan) {
  const std::span<const LaunchRule> all = launch_rules(trainer);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!all[i].breaks(problem, plan)) continue;
    return Rejection{.reason = all[i].reason, .rule = all[i].text, .launch_rule = static_cast<std::int32_t>(i)};
  }
  return std::nullopt;
}

FrameworkKind framework_of(Trainer trainer) {
  switch (trainer) {
    case Trainer::megatron_lm:
    case Trainer::megatron_bridge:
      return FrameworkKind::megatron_core;
    case Trainer::torchtitan:
    case Trainer::torchtitan_toml:
      return FrameworkKind::torchtitan;
    case Trainer::deepspeed:
      return FrameworkKind::deepspeed;
    case Trainer::nanotron:
      return FrameworkKind::nanotron;
  }
  return FrameworkKind::generic;
}

LaunchSize launch_size(const Problem& problem, const Plan& plan) {
  const std::int64_t gpus = gpus_used(plan);
  const std::int64_t of_node = std::min(gpus, problem.cluster.node.gpus_per_node);
  return {.nodes = ceil_div(gpus, of_node), .gpus_per_node = of_node};
}

}  // namespace foretrain
