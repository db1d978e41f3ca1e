#include "planner/model.h"

#include "base/check.h"

namespace foretrain {
namespace {

/// Weights and biases of one MLP of width `ffn`: up, down and, when gated, gate.
std::int64_t mlp_parameters(const ModelSpec& m, std::int64_t ffn, bool bias) {
  const std::int64_t inner = m.gated_mlp ? 2 : 1;  // matrices [hidden, ffn]
  return (inner + 1) * m.hidden * ffn + (bias ? inner * ffn + m.hidden : 0);
}

std::int64_t norm_parameters(const ModelSpec& m) { return m.norm_bias ? 2 * m.hidden : m.hidden; }

/// Matrices of attention: query, key, value, output, or their low-rank factors.
std::int64_t attention_weights(const ModelSpec& m) {
  if (!m.mla) return 2 * m.hidden * query_width(m) + 2 * m.hidden * kv_width(m);
  const MlaSpec& a = *m.mla;
  const std::int64_t query = m.heads * (a.qk_nope_head_dim + a.qk_rope_head_dim);
  const std::int64_t queries = a.q_lora_rank > 0 ? a.q_lora_rank * (m.hidden + query) : m.hidden * query;
  const std::int64_t compress = m.hidden * (a.kv_lora_rank + a.qk_rope_head_dim);
  const std::int64_t expand = a.kv_lora_rank * m.heads * (a.qk_nope_head_dim + a.v_head_dim);
  return queries + compress + expand + m.heads * a.v_head_dim * m.hidden;
}

std::int64_t attention_parameters(const ModelSpec& m) {
  const std::int64_t low_rank_norms = m.mla ? m.mla->q_lora_rank + m.mla->kv_lora_rank : 0;
  const std::int64_t qkv_bias = m.qkv_bias ? query_width(m) + 2 * kv_width(m) : 0;
  return attention_weights(m) + low_rank_norms + qkv_bias + (m.attention_out_bias ? m.hidden : 0) + m.qk_norm_params;
}

/// One layer's experts, shared ones and router.
std::int64_t moe_parameters(const ModelSpec& m) {
  const MoeSpec& e = *m.moe;
  const std::int64_t router = m.hidden * e.experts + (e.router_bias ? e.experts : 0);
  const std::int64_t shared =
      e.shared_expert_ffn_hidden > 0 ? mlp_parameters(m, e.shared_expert_ffn_hidden, e.expert_bias) : 0;
  return router + e.experts * mlp_parameters(m, e.expert_ffn_hidden, e.expert_bias) + shared +
         (e.shared_expert_gate ? m.hidden : 0);
}

}  // namespace

ParameterCount count_parameters(const ModelSpec& m) {
  FORETRAIN_CHECK(m.layers > 0 && m.hidden > 0);
  const std::int64_t with_experts = moe_layer_count(m);
  const std::int64_t outside_mlp = attention_parameters(m) + m.norms_per_layer * norm_parameters(m);
  const std::int64_t dense_layer = outside_mlp + mlp_parameters(m, m.ffn_hidden, m.mlp_bias);
  ParameterCount count;
  count.embedding = m.vocab * m.hidden;
  if (m.max_positions > 0) count.embedding += (m.max_positions + m.position_extra_rows) * m.hidden;
  if (m.embedding_norm) count.embedding += norm_parameters(m);
  count.per_layer = m.moe ? outside_mlp + moe_parameters(m) : dense_layer;
  count.layers_total = with_experts * count.per_layer + (m.layers - with_experts) * dense_layer;
  count.final_norm = m.final_norm ? norm_parameters(m) : 0;
  if (!m.tied_embeddings) count.lm_head = m.vocab * m.hidden;
  if (m.lm_head_bias) count.lm_head += m.vocab;
  count.extra = m.extra_params;
  count.total = count.embedding + count.layers_total + count.final_norm + count.lm_head + count.extra;
  count.active = count.total;
  if (m.moe) {
    const std::int64_t expert = mlp_parameters(m, m.moe->expert_ffn_hidden, m.moe->expert_bias);
    count.active -= with_experts * (m.moe->experts - m.moe->experts_per_token) * expert;
  }
  // DeepSeek-V3 (arXiv 2412.19437) section 2.2: two norms, a projection [2 hidden, hidden], a layer, and the norm
  // before the LM head, which is shared with the model as the embedding is.
  count.mtp = m.mtp_layers * (3 * norm_parameters(m) + 2 * m.hidden * m.hidden + count.per_layer);
  return count;
}

std::int64_t matmul_parameters_per_token(const ModelSpec& m) {
  const std::int64_t attention = attention_weights(m);
  const std::int64_t dense = attention + mlp_parameters(m, m.ffn_hidden, false);
  if (!m.moe) return m.layers * dense + m.mtp_layers * (dense + 2 * m.hidden * m.hidden);
  const MoeSpec& e = *m.moe;
  const std::int64_t sparse =
      attention + m.hidden * e.experts + mlp_parameters(m, e.experts_per_token * e.expert_ffn_hidden, false) +
      mlp_parameters(m, e.shared_expert_ffn_hidden, false) + (e.shared_expert_gate ? m.hidden : 0);
  const std::int64_t with_experts = moe_layer_count(m);
  return with_experts * sparse + (m.layers - with_experts) * dense + m.mtp_layers * (sparse + 2 * m.hidden * m.hidden);
}

}  // namespace foretrain
