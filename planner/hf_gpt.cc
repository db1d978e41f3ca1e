// Dense decoders in GPT's way: LayerNorm, two-matrix MLP. Modules and defaults as in huggingface/transformers,
// src/transformers/models/<model_type>/{configuration,modeling}_*.py.
#include <fmt/format.h>

#include "base/text.h"
#include "planner/hf_config.h"

namespace foretrain::hf {
namespace {

/// LayerNorm with shift, GELU, MLP of four times the hidden size; `has_bias` on all four matrices of a layer.
ModelSpec read_plain(const SpecNode& config, bool is_tied_by_default, bool has_bias) {
  ModelSpec m = read_trunk(config, is_tied_by_default);
  if (m.hidden % m.heads != 0) {
    first_of(config, {"num_attention_heads", "n_head", "n_heads"})
        .fail(fmt::format("hidden size {} does not divide by {} heads", m.hidden, m.heads));
  }
  m.gated_mlp = false;
  m.norm = NormKind::layer;
  m.norm_bias = true;
  m.activation = Activation::gelu;
  m.qkv_bias = m.attention_out_bias = m.mlp_bias = has_bias;
  m.ffn_hidden = count_or(config, {"n_inner", "intermediate_size", "ffn_hidden_size"}, kWidthRange, 4 * m.hidden);
  return m;
}

double dropout_or(const SpecNode& config, std::string_view key, double otherwise) {
  const auto value = config.optional(key);
  return value ? value->as_real({0, 1}) : otherwise;
}

}  // namespace

ModelSpec read_gpt2(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, true);
  m.position = PositionKind::learned;
  m.max_positions = count(config, {"n_positions", "max_position_embeddings", "n_ctx"}, kPositionsRange);
  m.dropout = dropout_or(config, "resid_pdrop", 0.1);
  return m;
}

ModelSpec read_gpt_bigcode(const SpecNode& config) {
  ModelSpec m = read_gpt2(config);
  if (flag_or(config, "multi_query", true)) m.kv_heads = 1;
  return m;
}

ModelSpec read_gpt_neox(const SpecNode& config) {
  ModelSpec m = read_plain(config, false, true);
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", true);
  m.parallel_block = flag_or(config, "use_parallel_residual", true);
  return m;
}

ModelSpec read_gptj(const SpecNode& config) {
  ModelSpec m = read_plain(config, false, true);
  m.qkv_bias = m.attention_out_bias = false;
  m.parallel_block = true;
  m.norms_per_layer = 1;
  m.lm_head_bias = true;
  return m;
}

ModelSpec read_phi(const SpecNode& config) {
  ModelSpec m = read_plain(config, false, true);
  m.kv_heads = count_or(config, {"num_key_value_heads"}, {1, m.heads}, m.heads);
  m.parallel_block = true;
  m.norms_per_layer = 1;
  m.lm_head_bias = true;
  if (flag_or(config, "qk_layernorm", false)) m.qk_norm_params = 4 * m.head_dim;  // weight and shift, for q and k
  return m;
}

ModelSpec read_starcoder2(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, flag_or(config, "use_bias", true));
  m.ffn_hidden = count(config, {"intermediate_size"}, kWidthRange);
  m.kv_heads = count_or(config, {"num_key_value_heads"}, {1, m.heads}, m.heads);
  return m;
}

ModelSpec read_opt(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, flag_or(config, "enable_bias", true));
  m.ffn_hidden = count(config, {"ffn_dim"}, kWidthRange);
  m.activation = Activation::relu;
  m.position = PositionKind::learned;
  m.max_positions = count(config, {"max_position_embeddings"}, kPositionsRange);
  m.position_extra_rows = 2;  // OPTLearnedPositionalEmbedding.offset
  m.dropout = dropout_or(config, "dropout", 0.1);
  // OPT-350M normalises after each block, so no norm is left for the end.
  m.final_norm = flag_or(config, "do_layer_norm_before", true) && !flag_or(config, "_remove_final_layer_norm", false);
  const std::int64_t width = count_or(config, {"word_embed_proj_dim"}, kWidthRange, m.hidden);
  if (width != m.hidden) {
    // Word embeddings [vocab, width] with a projection up to `hidden` and one back.
    m.extra_params = m.vocab * (width - m.hidden) + 2 * width * m.hidden;
    m.not_plannable = "word embeddings narrower than the hidden size are not planned yet";
  }
  return m;
}

ModelSpec read_bloom(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, true);
  m.position = PositionKind::alibi;
  m.embedding_norm = true;
  m.dropout = dropout_or(config, "hidden_dropout", 0);
  return m;
}

ModelSpec read_falcon(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, flag_or(config, "bias", false));
  const bool is_new = flag_or(config, "new_decoder_architecture", false);
  if (is_new) {
    m.kv_heads = count_or(config, {"num_kv_heads", "n_head_kv"}, {1, m.heads}, m.heads);
  } else if (flag_or(config, "multi_query", true)) {
    m.kv_heads = 1;
  }
  m.parallel_block = is_new || flag_or(config, "parallel_attn", true);
  if (is_new) {
    m.norms_per_layer = count_or(config, {"num_ln_in_parallel_attn"}, {1, 2}, 2);
  } else if (m.parallel_block) {
    m.norms_per_layer = 1;
  }
  if (flag_or(config, "alibi", false)) m.position = PositionKind::alibi;
  return m;
}

ModelSpec read_mpt(const SpecNode& config) {
  ModelSpec m = read_plain(config, true, !flag_or(config, "no_bias", true));
  m.norm_bias = false;  // MptBlock drops the shift of its norms
  m.ffn_hidden = m.hidden * count_or(config, {"expansion_ratio"}, {1, 1000}, 4);
  m.position = PositionKind::alibi;
  return m;
}

}  // namespace foretrain::hf
