// Decoders whose layers differ from each other. They are counted exactly and not planned. Modules and defaults as in
// huggingface/transformers, src/transformers/models/<model_type>/{configuration,modeling}_*.py.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "planner/hf_config.h"

namespace foretrain::hf {
namespace {

/// How many entries of `layer_types` are `name`; SpecError when the list is not as long as the model is deep.
std::int64_t layers_of_type(const SpecNode& layer_types, std::string_view name, std::int64_t layers) {
  const std::vector<SpecNode> items = layer_types.items();
  if (static_cast<std::int64_t>(items.size()) != layers) {
    layer_types.fail(fmt::format("expected {} entries, one a layer; got {}", layers, items.size()));
  }
  std::int64_t found = 0;
  for (const SpecNode& item : items) found += item.as_string() == name ? 1 : 0;
  return found;
}

}  // namespace

ModelSpec read_qwen3_next(const SpecNode& config) {
  ModelSpec m = read_qwen3_moe(config);
  m.moe->shared_expert_ffn_hidden = count(config, {"shared_expert_intermediate_size"}, kWidthRange);
  m.moe->shared_expert_gate = true;
  const std::int64_t interval = count_or(config, {"full_attention_interval"}, {1, m.layers}, 4);
  const auto types = config.optional("layer_types");
  const std::int64_t full = types ? layers_of_type(*types, "full_attention", m.layers) : m.layers / interval;
  // Full attention has a gate as wide as its queries. The other layers are gated delta nets: queries, keys, values and
  // gate in one matrix, two numbers a value head in another, a short convolution over all but the gate.
  const std::int64_t key_heads = count(config, {"linear_num_key_heads"}, kWidthRange);
  const std::int64_t value_heads = count(config, {"linear_num_value_heads"}, kWidthRange);
  const std::int64_t value_dim = count(config, {"linear_value_head_dim"}, kWidthRange);
  const std::int64_t keys = key_heads * count(config, {"linear_key_head_dim"}, kWidthRange);
  const std::int64_t values = value_heads * value_dim;
  const std::int64_t kernel = count(config, {"linear_conv_kernel_dim"}, {1, 1000});
  const std::int64_t delta_net = m.hidden * (2 * keys + 2 * values) + m.hidden * 2 * value_heads +
                                 kernel * (2 * keys + values) + 2 * value_heads + value_dim + values * m.hidden;
  const std::int64_t counted = 2 * m.hidden * (query_width(m) + kv_width(m)) + m.qk_norm_params;
  m.extra_params = full * m.hidden * query_width(m) + (m.layers - full) * (delta_net - counted);
  m.not_plannable = "linear attention (gated delta net) is not planned yet, nor are its experts";
  return m;
}

ModelSpec read_gemma4(const SpecNode& config) {
  ModelSpec m = read_gemma3(config);
  constexpr std::array<std::string_view, 3> kNotRead = {"hidden_size_per_layer_input", "num_kv_shared_layers",
                                                        "use_double_wide_mlp"};
  for (const std::string_view key : kNotRead) {
    const auto value = config.optional(key);
    const bool is_off = !value || (value->is_boolean() ? !value->as_bool() : value->as_int({0, 1'000'000}) == 0);
    if (!is_off) value->fail("is not read for this family; give the model in keys of our own");
  }
  const std::int64_t full = layers_of_type(config.required("layer_types"), "full_attention", m.layers);
  const std::int64_t head_dim = count_or(config, {"global_head_dim"}, kWidthRange, m.head_dim);
  const std::int64_t kv_heads = count_or(config, {"num_global_key_value_heads"}, {1, m.heads}, m.kv_heads);
  const std::int64_t kv_matrices = flag_or(config, "attention_k_eq_v", false) ? 1 : 2;
  const std::int64_t full_attention =
      m.hidden * head_dim * (2 * m.heads + kv_matrices * kv_heads) + 2 * head_dim;  // with query and key norms
  const std::int64_t counted = 2 * m.hidden * (query_width(m) + kv_width(m)) + m.qk_norm_params;
  m.extra_params = full * (full_attention - counted);
  m.not_plannable = "attention that differs between layers is not planned yet";
  if (!flag_or(config, "enable_moe_block", false)) return m;
  MoeSpec moe;
  moe.experts = count(config, {"num_experts"}, kExpertsRange);
  moe.experts_per_token = count(config, {"top_k_experts"}, {1, moe.experts});
  moe.expert_ffn_hidden = count(config, {"moe_intermediate_size"}, kWidthRange);
  moe.shared_expert_ffn_hidden = m.ffn_hidden;  // the dense MLP runs beside the experts
  moe.router_bias = true;                       // a scale an expert
  m.moe = moe;
  m.norms_per_layer = 7;                  // one more after the dense MLP, one before and one after the experts
  m.extra_params += m.layers * m.hidden;  // the router scales what it reads
  m.not_plannable = "attention that differs between layers is not planned yet, nor are its experts";
  return m;
}

ModelSpec read_llama4(const SpecNode& config) {
  ModelSpec m = read_trunk(config, false);
  read_grouped_heads(config, 128, m);
  m.qkv_bias = m.attention_out_bias = flag_or(config, "attention_bias", false);
  m.ffn_hidden = count(config, {"intermediate_size_mlp"}, kWidthRange);
  MoeSpec moe;
  moe.experts = count(config, {"num_local_experts"}, kExpertsRange);
  moe.experts_per_token = count_or(config, {"num_experts_per_tok"}, {1, moe.experts}, 1);
  moe.expert_ffn_hidden = count(config, {"intermediate_size"}, kWidthRange);
  moe.shared_expert_ffn_hidden = moe.expert_ffn_hidden;
  moe.layer_every = count_or(config, {"interleave_moe_layer_step"}, {1, m.layers}, 1);
  m.moe = moe;
  return m;
}

}  // namespace foretrain::hf
