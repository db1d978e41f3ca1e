#include "planner/hf_config.h"

#include <fmt/format.h>

namespace foretrain::hf {

std::optional<SpecNode> first_of_optional(const SpecNode& config, Keys keys) {
  for (const std::string_view key : keys) {
    if (auto value = config.optional(key)) return value;
  }
  return std::nullopt;
}

SpecNode first_of(const SpecNode& config, Keys keys) {
  if (const auto value = first_of_optional(config, keys)) return *value;
  return config.required(*keys.begin());
}

std::int64_t count(const SpecNode& config, Keys keys, IntRange range) { return first_of(config, keys).as_int(range); }

std::int64_t count_or(const SpecNode& config, Keys keys, IntRange range, std::int64_t otherwise) {
  const auto value = first_of_optional(config, keys);
  return value ? value->as_int(range) : otherwise;
}

bool flag_or(const SpecNode& config, std::string_view key, bool otherwise) {
  const auto value = config.optional(key);
  return value ? value->as_bool() : otherwise;
}

ModelSpec read_trunk(const SpecNode& config, bool is_tied_by_default) {
  ModelSpec m;
  m.layers = count(config, {"num_hidden_layers", "n_layer", "n_layers"}, kLayersRange);
  m.hidden = count(config, {"hidden_size", "n_embd", "n_embed", "d_model"}, kWidthRange);
  m.heads = count(config, {"num_attention_heads", "n_head", "n_heads"}, kWidthRange);
  m.vocab = count(config, {"vocab_size"}, kVocabRange);
  m.tied_embeddings = flag_or(config, "tie_word_embeddings", is_tied_by_default);
  m.kv_heads = m.heads;
  m.head_dim = m.hidden / m.heads;
  return m;
}

void read_grouped_heads(const SpecNode& config, std::int64_t head_dim_default, ModelSpec& m) {
  m.kv_heads = count_or(config, {"num_key_value_heads"}, {1, m.heads}, m.heads);
  if (const auto head_dim = config.optional("head_dim")) {
    m.head_dim = head_dim->as_int(kWidthRange);
  } else if (head_dim_default > 0) {
    m.head_dim = head_dim_default;
  } else if (m.hidden % m.heads != 0) {
    first_of(config, {"num_attention_heads", "n_head", "n_heads"})
        .fail(fmt::format("hidden_size {} does not divide by {} heads; give head_dim", m.hidden, m.heads));
  }
}

}  // namespace foretrain::hf
