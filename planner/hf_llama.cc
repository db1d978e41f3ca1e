// Dense decoders in Llama's way: RMSNorm, gated MLP, rotary positions. Modules and defaults as in
// huggingface/transformers, src/transformers/models/<model_type>/{configuration,modeling}_*.py.
#include "planner/hf_config.h"

namespace foretrain::hf {
namespace {

ModelSpec read_gated(const SpecNode& config, bool is_tied_by_default, std::int64_t head_dim_default = 0) {
  ModelSpec m = read_trunk(config, is_tied_by_default);
  read_grouped_heads(config, head_dim_default, m);
  m.ffn_hidden = count(config, {"intermediate_size"}, kWidthRange);
  return m;
}

/// `attention_bias` gives all four projections a bias.
void read_attention_bias(const SpecNode& config, ModelSpec& m) {
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", false);
}

/// One weight for each element of a head, shared by the heads, on queries and on keys.
void add_head_norms(ModelSpec& m) { m.qk_norm_params = 2 * m.head_dim; }

}  // namespace

ModelSpec read_llama(const SpecNode& config) {
  ModelSpec m = read_gated(config, false);
  read_attention_bias(config, m);
  m.mlp_bias = flag_or(config, "mlp_bias", false);
  return m;
}

ModelSpec read_mistral(const SpecNode& config) { return read_gated(config, false); }

ModelSpec read_qwen2(const SpecNode& config) {
  ModelSpec m = read_gated(config, false);
  m.qkv_bias = true;
  return m;
}

ModelSpec read_qwen3(const SpecNode& config) {
  ModelSpec m = read_gated(config, false, 128);
  read_attention_bias(config, m);
  add_head_norms(m);
  return m;
}

ModelSpec read_smollm3(const SpecNode& config) {
  ModelSpec m = read_gated(config, true);
  read_attention_bias(config, m);
  m.mlp_bias = flag_or(config, "mlp_bias", false);
  return m;
}

ModelSpec read_olmo(const SpecNode& config) {
  ModelSpec m = read_gated(config, false);
  read_attention_bias(config, m);
  m.norm = NormKind::layer;  // without weights: its norms hold no parameters
  m.norms_per_layer = 0;
  m.final_norm = false;
  return m;
}

ModelSpec read_olmo2(const SpecNode& config) {
  ModelSpec m = read_gated(config, false);
  read_attention_bias(config, m);
  m.qk_norm_params = query_width(m) + kv_width(m);  // over all heads at once
  return m;
}

ModelSpec read_phi3(const SpecNode& config) { return read_gated(config, false); }

ModelSpec read_gemma(const SpecNode& config) {
  ModelSpec m = read_gated(config, true, 256);
  read_attention_bias(config, m);
  m.activation = Activation::gelu;
  return m;
}

ModelSpec read_gemma2(const SpecNode& config) {
  ModelSpec m = read_gemma(config);
  m.norms_per_layer = 4;  // before and after attention, before and after the MLP
  return m;
}

ModelSpec read_gemma3(const SpecNode& config) {
  ModelSpec m = read_gemma2(config);
  add_head_norms(m);
  return m;
}

}  // namespace foretrain::hf
