// Mixtures of experts, with ordinary or latent attention. Modules and defaults as in huggingface/transformers,
// src/transformers/models/<model_type>/{configuration,modeling}_*.py.
#include "planner/hf_config.h"

namespace foretrain::hf {
namespace {

ModelSpec read_sparse(const SpecNode& config, Keys experts, Keys expert_ffn_hidden, std::int64_t head_dim_default = 0) {
  ModelSpec m = read_trunk(config, false);
  read_grouped_heads(config, head_dim_default, m);
  MoeSpec moe;
  moe.experts = count(config, experts, kExpertsRange);
  moe.experts_per_token = count(config, {"num_experts_per_tok", "experts_per_token"}, {1, moe.experts});
  moe.expert_ffn_hidden = count(config, expert_ffn_hidden, kWidthRange);
  m.moe = moe;
  return m;
}

/// Which Qwen layers have experts: every `decoder_sparse_step`-th, without those of `mlp_only_layers`.
void read_qwen_layers(const SpecNode& config, ModelSpec& m) {
  m.ffn_hidden = count(config, {"intermediate_size"}, kWidthRange);
  m.moe->layer_every = count_or(config, {"decoder_sparse_step"}, {1, m.layers}, 1);
  const auto dense = config.optional("mlp_only_layers");
  if (!dense) return;
  for (const SpecNode& layer : dense->items()) {
    if (layer.as_int({0, m.layers}) != m.moe->dense_layers) layer.fail("expected the first layers only: 0, 1, 2, ...");
    ++m.moe->dense_layers;
  }
  if (m.moe->dense_layers % m.moe->layer_every != 0) {
    dense->fail("expected a multiple of decoder_sparse_step dense layers");
  }
}

}  // namespace

ModelSpec read_mixtral(const SpecNode& config) {
  return read_sparse(config, {"num_local_experts"}, {"intermediate_size"});
}

ModelSpec read_qwen2_moe(const SpecNode& config) {
  ModelSpec m = read_sparse(config, {"num_experts"}, {"moe_intermediate_size"});
  read_qwen_layers(config, m);
  m.qkv_bias = flag_or(config, "qkv_bias", true);
  m.moe->shared_expert_ffn_hidden = count(config, {"shared_expert_intermediate_size"}, kWidthRange);
  m.moe->shared_expert_gate = true;
  return m;
}

ModelSpec read_qwen3_moe(const SpecNode& config) {
  ModelSpec m = read_sparse(config, {"num_experts", "num_local_experts"}, {"moe_intermediate_size"});
  read_qwen_layers(config, m);
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", false);
  m.qk_norm_params = 2 * m.head_dim;
  return m;
}

ModelSpec read_olmoe(const SpecNode& config) {
  ModelSpec m = read_sparse(config, {"num_experts"}, {"intermediate_size"});
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", false);
  m.qk_norm_params = query_width(m) + kv_width(m);
  return m;
}

ModelSpec read_gpt_oss(const SpecNode& config) {
  ModelSpec m = read_sparse(config, {"num_local_experts", "num_experts"}, {"intermediate_size"}, 64);
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", true);
  m.moe->expert_bias = m.moe->router_bias = true;
  m.extra_params = m.layers * m.heads;  // a learned attention sink for each head
  return m;
}

ModelSpec read_deepseek(const SpecNode& config) {
  ModelSpec m = read_sparse(config, {"n_routed_experts"}, {"moe_intermediate_size"});
  m.ffn_hidden = count(config, {"intermediate_size"}, kWidthRange);
  m.kv_heads = m.heads;
  MlaSpec mla;
  mla.q_lora_rank = count_or(config, {"q_lora_rank"}, kWidthRange, 0);
  mla.kv_lora_rank = count(config, {"kv_lora_rank"}, kWidthRange);
  mla.qk_nope_head_dim = count(config, {"qk_nope_head_dim"}, kWidthRange);
  mla.qk_rope_head_dim = count(config, {"qk_rope_head_dim"}, kWidthRange);
  mla.v_head_dim = count(config, {"v_head_dim"}, kWidthRange);
  m.mla = mla;
  m.head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  MoeSpec& moe = *m.moe;
  moe.shared_expert_ffn_hidden =
      moe.expert_ffn_hidden * count_or(config, {"n_shared_experts"}, {0, kExpertsRange.most}, 0);
  moe.dense_layers = count_or(config, {"first_k_dense_replace"}, {0, m.layers}, 0);
  if (count_or(config, {"moe_layer_freq"}, {1, m.layers}, 1) != 1) {
    config.required("moe_layer_freq").fail("experts in some layers only are not read for this family");
  }
  // "noaux_tc" balances the load with a bias an expert (e_score_correction_bias).
  const auto method = config.optional("topk_method");
  moe.router_bias = method && method->as_string() == "noaux_tc";
  m.mtp_layers = count_or(config, {"num_nextn_predict_layers"}, {0, m.layers}, 0);
  return m;
}

ModelSpec read_deepseek_v32(const SpecNode& config) {
  ModelSpec m = read_deepseek(config);
  // The indexer of sparse attention, in every layer: queries from the low-rank query, keys and their LayerNorm, a
  // weight a head (deepseek-ai/DeepSeek-V3.2-Exp, inference/model.py, class Indexer).
  const std::int64_t heads = count(config, {"index_n_heads"}, kWidthRange);
  const std::int64_t head_dim = count(config, {"index_head_dim"}, kWidthRange);
  if (m.mla->q_lora_rank == 0) config.required("q_lora_rank").fail("the indexer needs a low-rank query");
  m.extra_params =
      m.layers * (m.mla->q_lora_rank * heads * head_dim + m.hidden * head_dim + 2 * head_dim + m.hidden * heads);
  m.not_plannable = "sparse attention with an indexer is not planned yet, nor are its experts";
  return m;
}

}  // namespace foretrain::hf
