#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/hf_config.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

/// Every `model_type` that is read. Families that share a reader differ in what their configs say, not in its meaning.
constexpr std::array kFamilies = {
    hf::Family{"llama", hf::read_llama},
    hf::Family{"granite", hf::read_llama},
    hf::Family{"mistral", hf::read_mistral},
    hf::Family{"ministral", hf::read_mistral},
    hf::Family{"qwen2", hf::read_qwen2},
    hf::Family{"qwen2_vl_text", hf::read_qwen2},
    hf::Family{"qwen2_5_vl_text", hf::read_qwen2},
    hf::Family{"qwen3", hf::read_qwen3},
    hf::Family{"qwen3_vl_text", hf::read_qwen3},
    hf::Family{"smollm3", hf::read_smollm3},
    hf::Family{"olmo", hf::read_olmo},
    hf::Family{"olmo2", hf::read_olmo2},
    hf::Family{"olmo3", hf::read_olmo2},
    hf::Family{"phi3", hf::read_phi3},
    hf::Family{"gemma", hf::read_gemma},
    hf::Family{"gemma2", hf::read_gemma2},
    hf::Family{"gemma3_text", hf::read_gemma3},
    hf::Family{"gpt2", hf::read_gpt2},
    hf::Family{"gpt_bigcode", hf::read_gpt_bigcode},
    hf::Family{"gpt_neox", hf::read_gpt_neox},
    hf::Family{"gptj", hf::read_gptj},
    hf::Family{"phi", hf::read_phi},
    hf::Family{"starcoder2", hf::read_starcoder2},
    hf::Family{"opt", hf::read_opt},
    hf::Family{"bloom", hf::read_bloom},
    hf::Family{"falcon", hf::read_falcon},
    hf::Family{"mpt", hf::read_mpt},
    hf::Family{"mixtral", hf::read_mixtral},
    hf::Family{"qwen2_moe", hf::read_qwen2_moe},
    hf::Family{"qwen3_moe", hf::read_qwen3_moe},
    hf::Family{"qwen3_vl_moe_text", hf::read_qwen3_moe},
    hf::Family{"olmoe", hf::read_olmoe},
    hf::Family{"gpt_oss", hf::read_gpt_oss},
    hf::Family{"deepseek_v2", hf::read_deepseek},
    hf::Family{"deepseek_v3", hf::read_deepseek},
    hf::Family{"kimi_k2", hf::read_deepseek},
    hf::Family{"deepseek_v32", hf::read_deepseek_v32},
    hf::Family{"qwen3_next", hf::read_qwen3_next},
    hf::Family{"gemma4_text", hf::read_gemma4},
    hf::Family{"llama4_text", hf::read_llama4},
};

/// The family called `name`, or else called so with "_text" behind, as the text part of a multimodal model is.
const hf::Family* find_family(const std::string& name) {
  for (const hf::Family& family : kFamilies) {
    if (family.model_type == name || family.model_type == name + "_text") return &family;
  }
  return nullptr;
}

const hf::Family& family_of(const SpecNode& model_type) {
  const std::string name = model_type.as_string();
  if (const hf::Family* family = find_family(name)) return *family;
  std::vector<std::string_view> known;
  std::string list;
  for (const hf::Family& family : kFamilies) {
    known.push_back(family.model_type);
    list += (list.empty() ? "" : ", ") + std::string(family.model_type);
  }
  const std::string near = likely_name(name, known);
  model_type.fail(fmt::format("unknown model_type {}{}; known: {}", in_quotes(name),
                              near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near)), list));
}

/// The last part of "meta-llama/Llama-3.1-8B"; a folder named "." or nothing gives "".
std::string name_of(const SpecNode& config) {
  const auto path = config.optional("_name_or_path");
  if (!path) return "";
  std::string name = path->as_string();
  while (!name.empty() && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  return name == "." ? "" : name;
}

}  // namespace

ModelSpec import_hf(const SpecNode& config) {
  if (!config.has("model_type")) {
    config.fail("key \"model_type\" is missing: it says which Hugging Face family this config.json is of");
  }
  const auto text = config.optional("text_config");
  const SpecNode shapes = text ? *text : config;
  const SpecNode model_type = shapes.has("model_type") ? shapes.required("model_type") : config.required("model_type");
  const hf::Family& family = family_of(model_type);
  ModelSpec m = family.read(shapes);
  // A multimodal config may say it for the whole model.
  if (text && !text->has("tie_word_embeddings") && config.has("tie_word_embeddings")) {
    m.tied_embeddings = config.required("tie_word_embeddings").as_bool();
  }
  m.family = model_type.as_string();
  m.name = name_of(config);
  check_model(shapes, m);
  return m;
}

}  // namespace foretrain
