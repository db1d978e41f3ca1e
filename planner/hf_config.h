/// Reading Hugging Face's config.json: keys that go by several names, and the families that are known.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/spec_node.h"
#include "planner/model.h"
#include "planner/own_model.h"

namespace foretrain::hf {

using Keys = std::initializer_list<std::string_view>;

/// The first of `keys` that is there and not null; the first key names what is missing.
SpecNode first_of(const SpecNode& config, Keys keys);
std::optional<SpecNode> first_of_optional(const SpecNode& config, Keys keys);
std::int64_t count(const SpecNode& config, Keys keys, IntRange range);
std::int64_t count_or(const SpecNode& config, Keys keys, IntRange range, std::int64_t otherwise);
bool flag_or(const SpecNode& config, std::string_view key, bool otherwise);

/// Layers, hidden, heads, vocabulary and tying, which every family has under one of a few names.
/// `kv_heads` and `head_dim` follow from heads; the family sets what differs.
ModelSpec read_trunk(const SpecNode& config, bool is_tied_by_default);
/// `num_key_value_heads`, all heads without; `head_dim`, else `head_dim_default`, or hidden / heads when that is 0.
void read_grouped_heads(const SpecNode& config, std::int64_t head_dim_default, ModelSpec& m);

/// One `model_type`. `read` takes the text part of the config and fills all but name and family.
struct Family {
  std::string_view model_type;
  ModelSpec (*read)(const SpecNode& config);
};

ModelSpec read_llama(const SpecNode&);
ModelSpec read_mistral(const SpecNode&);
ModelSpec read_qwen2(const SpecNode&);
ModelSpec read_qwen3(const SpecNode&);
ModelSpec read_smollm3(const SpecNode&);
ModelSpec read_olmo(const SpecNode&);
ModelSpec read_olmo2(const SpecNode&);
ModelSpec read_phi3(const SpecNode&);
ModelSpec read_gemma(const SpecNode&);
ModelSpec read_gemma2(const SpecNode&);
ModelSpec read_gemma3(const SpecNode&);
ModelSpec read_gpt2(const SpecNode&);
ModelSpec read_gpt_bigcode(const SpecNode&);
ModelSpec read_gpt_neox(const SpecNode&);
ModelSpec read_gptj(const SpecNode&);
ModelSpec read_phi(const SpecNode&);
ModelSpec read_starcoder2(const SpecNode&);
ModelSpec read_opt(const SpecNode&);
ModelSpec read_bloom(const SpecNode&);
ModelSpec read_falcon(const SpecNode&);
ModelSpec read_mpt(const SpecNode&);
ModelSpec read_mixtral(const SpecNode&);
ModelSpec read_qwen2_moe(const SpecNode&);
ModelSpec read_qwen3_moe(const SpecNode&);
ModelSpec read_olmoe(const SpecNode&);
ModelSpec read_gpt_oss(const SpecNode&);
ModelSpec read_deepseek(const SpecNode&);
ModelSpec read_deepseek_v32(const SpecNode&);
ModelSpec read_qwen3_next(const SpecNode&);
ModelSpec read_gemma4(const SpecNode&);
ModelSpec read_llama4(const SpecNode&);

}  // namespace foretrain::hf
