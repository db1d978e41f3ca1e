#include "planner/own_model.h"

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array kModelKeys = std::to_array<std::string_view>({
    // What it is.
    "base", "name", "family", "source", "notes", "confidence", "schema", "$schema",
    // Shapes.
    "layers", "hidden", "ffn_hidden", "heads", "kv_heads", "head_dim", "vocab", "gated_mlp", "tied_embeddings",
    // Style.
    "positional", "max_positions", "bias", "qkv_bias", "norm_bias", "norm", "activation", "qk_norm",
    "norms_per_layer", "parallel_block", "embedding_norm", "lm_head_bias", "dropout",
    // Mixture of experts.
    "experts", "experts_per_token", "expert_ffn_hidden", "shared_expert_ffn_hidden", "shared_expert_gate",
    "dense_layers", "moe_layer_every", "router_bias",
    // Latent attention, multi-token prediction.
    "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "mtp_layers"});
// clang-format on
constexpr std::array<std::string_view, 2> kNormNames = {"rms", "layer"};
constexpr std::array<std::string_view, 3> kActivationNames = {"silu", "gelu", "relu"};
constexpr std::array<std::string_view, 4> kPositionNames = {"rope", "learned", "alibi", "none"};

/// Sets `value` from `key`; without a base the key must be there.
void read_shape(const SpecNode& node, std::string_view key, IntRange range, bool is_required, std::int64_t& value) {
  if (const auto found = node.optional(key)) {
    value = found->as_int(range);
  } else if (is_required) {
    static_cast<void>(node.required(key).as_int(range));  // names the missing key, or refuses null
  }
}
void read_flag(const SpecNode& node, std::string_view key, bool& value) {
  if (const auto found = node.optional(key)) value = found->as_bool();
}

/// "rope", "learned", "alibi", "none"; published runs write "learned_absolute" and "learned/alibi (varied)" too.
PositionKind as_position(const SpecNode& value) {
  const std::string text = value.as_string();
  const std::string word = to_lower(text.substr(0, text.find_first_of("_(/ ")));
  for (std::size_t i = 0; i < kPositionNames.size(); ++i) {
    if (word == kPositionNames[i]) return static_cast<PositionKind>(i);
  }
  return static_cast<PositionKind>(value.as_choice(kPositionNames, "positional encoding"));
}

/// `bias`: true, false, or "none" as published runs write it.
bool as_bias(const SpecNode& value) {
  if (value.is_string()) {
    constexpr std::array<std::string_view, 2> kBiasNames = {"none", "all"};
    return value.as_choice(kBiasNames, "bias") == 1;
  }
  return value.as_bool();
}

/// What the two great families do when nobody says: Llama's way for gated models, GPT's for the others.
void set_style(ModelSpec& m) {
  m.norm = m.gated_mlp ? NormKind::rms : NormKind::layer;
  m.activation = m.gated_mlp ? Activation::silu : Activation::gelu;
  m.position = m.gated_mlp ? PositionKind::rope : PositionKind::learned;
  m.norm_bias = m.qkv_bias = m.attention_out_bias = m.mlp_bias = !m.gated_mlp;
}

void read_style(const SpecNode& node, ModelSpec& m) {
  if (const auto norm = node.optional("norm")) m.norm = static_cast<NormKind>(norm->as_choice(kNormNames, "norm"));
  if (const auto activation = node.optional("activation")) {
    m.activation = static_cast<Activation>(activation->as_choice(kActivationNames, "activation"));
  }
  if (const auto positional = node.optional("positional")) m.position = as_position(*positional);
  if (const auto bias = node.optional("bias")) {
    m.qkv_bias = m.attention_out_bias = m.mlp_bias = m.norm_bias = as_bias(*bias);
  }
  read_flag(node, "norm_bias", m.norm_bias);
  if (m.norm == NormKind::rms) m.norm_bias = false;
  read_flag(node, "qkv_bias", m.qkv_bias);
  read_flag(node, "lm_head_bias", m.lm_head_bias);
  read_flag(node, "parallel_block", m.parallel_block);
  read_flag(node, "embedding_norm", m.embedding_norm);
  if (const auto norms = node.optional("norms_per_layer")) m.norms_per_layer = norms->as_int({0, 8});
  if (const auto dropout = node.optional("dropout")) m.dropout = dropout->as_real({0, 1});
  if (const auto max = node.optional("max_positions")) {
    m.max_positions = m.position == PositionKind::learned ? max->as_int(kPositionsRange) : 0;
  }
  if (m.position != PositionKind::learned) m.max_positions = 0;
}

void read_experts(const SpecNode& node, ModelSpec& m) {
  constexpr std::array<std::string_view, 7> kExpertKeys = {
      "experts_per_token", "expert_ffn_hidden", "shared_expert_ffn_hidden", "shared_expert_gate", "dense_layers",
      "moe_layer_every",   "router_bias"};
  const bool is_new = !m.moe;
  if (is_new && !node.optional("experts")) {
    for (const std::string_view key : kExpertKeys) {
      if (node.has(key)) node.required(key).fail("is for models with experts; key \"experts\" is missing");
    }
    return;
  }
  if (is_new) m.moe.emplace();
  MoeSpec& e = *m.moe;
  read_shape(node, "experts", kExpertsRange, is_new, e.experts);
  read_shape(node, "experts_per_token", {1, e.experts}, is_new, e.experts_per_token);
  read_shape(node, "expert_ffn_hidden", kWidthRange, is_new, e.expert_ffn_hidden);
  read_shape(node, "shared_expert_ffn_hidden", {0, kWidthRange.most}, false, e.shared_expert_ffn_hidden);
  read_flag(node, "shared_expert_gate", e.shared_expert_gate);
  read_shape(node, "dense_layers", {0, m.layers}, false, e.dense_layers);
  read_shape(node, "moe_layer_every", {1, m.layers}, false, e.layer_every);
  read_flag(node, "router_bias", e.router_bias);
}

void read_latent_attention(const SpecNode& node, ModelSpec& m) {
  constexpr std::array<std::string_view, 4> kLatentKeys = {"q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
                                                           "v_head_dim"};
  const bool is_new = !m.mla;
  if (is_new && !node.optional("kv_lora_rank")) {
    for (const std::string_view key : kLatentKeys) {
      if (node.optional(key)) {
        node.required(key).fail("is for multi-head latent attention; key \"kv_lora_rank\" is missing");
      }
    }
    return;
  }
  if (is_new) m.mla.emplace();
  MlaSpec& a = *m.mla;
  read_shape(node, "kv_lora_rank", kWidthRange, is_new, a.kv_lora_rank);
  read_shape(node, "qk_nope_head_dim", kWidthRange, is_new, a.qk_nope_head_dim);
  read_shape(node, "qk_rope_head_dim", kWidthRange, is_new, a.qk_rope_head_dim);
  read_shape(node, "v_head_dim", kWidthRange, is_new, a.v_head_dim);
  read_shape(node, "q_lora_rank", {0, kWidthRange.most}, false, a.q_lora_rank);
}

void read_attention_shape(const SpecNode& node, bool is_new, ModelSpec& m) {
  const bool followed_hidden = !is_new && m.heads * m.head_dim == m.hidden;
  const bool all_query_heads = is_new || m.kv_heads == m.heads;
  read_shape(node, "hidden", kWidthRange, is_new, m.hidden);
  read_shape(node, "heads", kWidthRange, is_new, m.heads);
  if (all_query_heads) m.kv_heads = m.heads;
  read_shape(node, "kv_heads", {1, m.heads}, false, m.kv_heads);
  if (const auto head_dim = node.optional("head_dim")) {
    m.head_dim = head_dim->as_int(kWidthRange);
  } else if (is_new || followed_hidden) {
    if (m.hidden % m.heads != 0) {
      node.required("heads").fail(
          fmt::format("hidden {} does not divide by {} heads; give head_dim", m.hidden, m.heads));
    }
    m.head_dim = m.hidden / m.heads;
  }
}

}  // namespace

std::span<const std::string_view> own_model_keys() { return kModelKeys; }

ModelSpec read_own_model(const SpecNode& node, const ModelSpec* base) {
  node.allow_only(kModelKeys);
  const bool is_new = base == nullptr;
  ModelSpec m = is_new ? ModelSpec{} : *base;
  if (is_new) m.family = "foretrain";
  if (const auto name = node.optional("name")) m.name = name->as_string();
  read_shape(node, "layers", kLayersRange, is_new, m.layers);
  read_attention_shape(node, is_new, m);
  read_shape(node, "vocab", kVocabRange, is_new, m.vocab);
  const auto gated = node.optional("gated_mlp");
  if (gated) m.gated_mlp = gated->as_bool();
  if (is_new || gated) set_style(m);
  read_style(node, m);
  read_flag(node, "tied_embeddings", m.tied_embeddings);
  bool qk_norm = false;  // one weight for every element of a head, on queries and on keys (Qwen3)
  read_flag(node, "qk_norm", qk_norm);
  if (qk_norm) m.qk_norm_params = 2 * m.head_dim;
  read_experts(node, m);
  read_latent_attention(node, m);
  read_shape(node, "mtp_layers", {0, m.layers}, false, m.mtp_layers);
  const bool only_experts = m.moe && moe_layer_count(m) == m.layers;
  read_shape(node, "ffn_hidden", kWidthRange, is_new && !only_experts, m.ffn_hidden);
  check_model(node, m);
  return m;
}

void check_model(const SpecNode& node, const ModelSpec& m) {
  if (m.heads % m.kv_heads != 0) {
    SpecNode at = node;
    for (const std::string_view key : {"kv_heads", "num_key_value_heads", "num_kv_heads", "n_head_kv"}) {
      if (node.has(key)) at = node.required(key);
    }
    at.fail(fmt::format("expected a divisor of the {} query heads; got {}", m.heads, m.kv_heads));
  }
  if (m.moe && moe_layer_count(m) == 0) node.fail("no layer is left for the experts after the dense ones");
  // In doubles first: whole numbers could overflow.
  const double hidden = static_cast<double>(m.hidden);
  double width =
      3 * static_cast<double>(m.ffn_hidden) + 4 * static_cast<double>(m.heads) * static_cast<double>(m.head_dim);
  if (m.moe) {
    width += 3 * static_cast<double>(m.moe->experts) * static_cast<double>(m.moe->expert_ffn_hidden) +
             3 * static_cast<double>(m.moe->shared_expert_ffn_hidden);
  }
  double latent = 0;
  if (m.mla) {
    const MlaSpec& a = *m.mla;
    const double per_head = static_cast<double>(a.qk_nope_head_dim + a.qk_rope_head_dim + a.v_head_dim);
    latent = static_cast<double>(m.heads) * per_head * static_cast<double>(a.q_lora_rank + a.kv_lora_rank + m.hidden);
  }
  const double total = static_cast<double>(m.layers) * (hidden * width + latent) +
                       2 * hidden * static_cast<double>(m.vocab + m.max_positions) +
                       2 * static_cast<double>(m.mtp_layers) * hidden * hidden;
  constexpr double kMostParameters = 1e16;
  if (total > kMostParameters) {
    node.fail(
        fmt::format("these shapes make about {:.1e} parameters; expected at most {:.0e}", total, kMostParameters));
  }
}

}  // namespace foretrain
