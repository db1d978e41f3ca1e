/// A transformer language model as the planner sees it: shapes, and from them exact parameter counts and FLOPs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"

namespace foretrain {

enum class NormKind { rms, layer };
enum class PositionKind { rope, learned, alibi, none };
enum class Activation { silu, gelu, relu };

/// Mixture of experts in a layer's MLP. `experts` routed ones, of which a token uses `experts_per_token`.
struct MoeSpec {
  std::int64_t experts = 0, experts_per_token = 0, expert_ffn_hidden = 0;
  std::int64_t shared_expert_ffn_hidden = 0;  ///< all shared experts together; 0 = none
  bool shared_expert_gate = false;            ///< qwen2_moe: a hidden -> 1 gate
  std::int64_t dense_layers = 0;              ///< layers at the front with an ordinary MLP
  std::int64_t layer_every = 1;               ///< after them every n-th layer has experts: the n-th, 2n-th...
  bool expert_bias = false, router_bias = false;
};
/// Multi-head latent attention (DeepSeek).
struct MlaSpec {
  std::int64_t q_lora_rank = 0;  ///< 0 = queries are projected directly
  std::int64_t kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
};

struct ModelSpec {
  std::string name;
  std::string family;  ///< Hugging Face model_type, or "foretrain"
  std::int64_t layers = 0, hidden = 0, ffn_hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  bool gated_mlp = true;
  bool tied_embeddings = false;
  NormKind norm = NormKind::rms;
  bool norm_bias = false;  ///< LayerNorm's shift (true for GPT-2 and its kin)
  PositionKind position = PositionKind::rope;
  std::int64_t max_positions = 0;        ///< rows of a learned position table; 0 = none
  std::int64_t position_extra_rows = 0;  ///< OPT keeps 2 more
  Activation activation = Activation::silu;
  bool qkv_bias = false, attention_out_bias = false, mlp_bias = false, lm_head_bias = false;
  std::int64_t qk_norm_params = 0;   ///< extra norm weights per layer on queries and keys
  std::int64_t norms_per_layer = 2;  ///< norms over `hidden`: 1 Falcon-7B, 4 Gemma 2 and 3
  bool parallel_block = false;       ///< attention and MLP stand side by side (Falcon, GPT-NeoX)
  bool embedding_norm = false;       ///< BLOOM
  bool final_norm = true;
  double dropout = 0;             ///< > 0 adds dropout kernels and masks
  std::int64_t extra_params = 0;  ///< exact count of what no field above describes (import_hf says what), whole model
  std::optional<MoeSpec> moe;
  std::optional<MlaSpec> mla;
  std::int64_t mtp_layers = 0;
  std::string not_plannable;  ///< why `plan` refuses it; "" when it can be planned
};

constexpr std::int64_t query_width(const ModelSpec& m) { return m.heads * m.head_dim; }
constexpr std::int64_t kv_width(const ModelSpec& m) { return m.kv_heads * m.head_dim; }

/// Exact parameter counts, unpadded, as Hugging Face counts them.
struct ParameterCount {
  std::int64_t embedding = 0;  ///< word (and position) tables
  std::int64_t per_layer = 0;  ///< one ordinary (dense or MoE) layer
  std::int64_t layers_total = 0;
  std::int64_t final_norm = 0;
  std::int64_t lm_head = 0;  ///< 0 when tied
  std::int64_t extra = 0;    ///< ModelSpec::extra_params
  std::int64_t total = 0;    ///< embedding + layers_total + final_norm + lm_head + extra
  std::int64_t active = 0;   ///< used by one token (MoE); = total for dense
  std::int64_t mtp = 0;      ///< multi-token prediction layers; not in `total`, as published totals leave them out
};
ParameterCount count_parameters(const ModelSpec&);

/// Layers with experts.
constexpr std::int64_t moe_layer_count(const ModelSpec& m) {
  return m.moe ? (m.layers - m.moe->dense_layers) / m.moe->layer_every : 0;
}

/// Weights of the matrices that one token is multiplied with: projections and MLP of every layer (of its experts only
/// those used), multi-token prediction included; without embedding look-up and LM head, biases and norms.
std::int64_t matmul_parameters_per_token(const ModelSpec&);

/// Model FLOPs of one training step's forward and backward for `tokens` tokens in sequences of `sequence_length`: 6 x
/// (weights of every matmul a token meets, LM head included, embedding look-up not) x tokens + attention scores
/// and values (12 layers heads head_dim sequence tokens, halved when causal). No recomputation.
/// Convention of docs/FORMAT.md: causal.
Flops model_flops(const ModelSpec&, double tokens, std::int64_t sequence_length, bool causal = true);

}  // namespace foretrain
