/// The rule tables of the trainers, and conditions that several of them share.
#pragma once

#include <span>

#include "planner/launch_rules.h"
#include "planner/plan_cost.h"

namespace foretrain::rules {

std::span<const LaunchRule> megatron_lm();
std::span<const LaunchRule> megatron_bridge();
std::span<const LaunchRule> torchtitan();
std::span<const LaunchRule> torchtitan_toml();
std::span<const LaunchRule> deepspeed();
std::span<const LaunchRule> nanotron();

/// torchrun starts as many processes on every node.
bool part_full_nodes(const Problem&, const Plan&);
bool batch_does_not_divide(const Problem&, const Plan&);
/// Layers (with what counts as one) do not divide by pipeline x virtual_pipeline; never with stage_layers.
bool layers_do_not_divide(const Problem&, const Plan&);
/// A Llama-like block: RMSNorm twice, gated SiLU MLP, rotary positions, no biases but those of Qwen 2's queries.
bool is_not_llama_like(const Problem&, const Plan&);
bool offloads(const Problem&, const Plan&);
constexpr bool lists_layers(const Problem& /*problem*/, const Plan& plan) { return !plan.stage_layers.empty(); }
constexpr bool has_virtual_stages(const Problem& /*problem*/, const Plan& plan) { return plan.virtual_pipeline > 1; }
inline bool other_rank_order(const Problem& /*problem*/, const Plan& plan) {
  return plan.rank_order != "tp-cp-ep-dp-pp";
}
constexpr bool recomputes_part(const Problem& /*problem*/, const Plan& plan) { return plan.recompute_layers > 0; }
constexpr std::int64_t micro_batch_count(const Problem& problem, const Plan& plan) {
  return problem.training.global_batch / (std::int64_t{plan.micro_batch} * plan.data);
}

}  // namespace foretrain::rules
