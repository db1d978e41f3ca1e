/// `foretrain model`: what a model is made of.
#include "planner/model.h"

#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_node.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "planner/problem.h"

namespace foretrain::cli {
namespace {

/// Bytes of weights, gradients, fp32 weights and Adam's moments in mixed precision: 2 + 2 + 4 + 4 + 4 each.
/// Source: ZeRO, Rajbhandari et al. 2020 (arXiv 1910.02054), section 3.1.
constexpr double kBytesPerParameter = 16;

std::string shapes(const ModelSpec& m) {
  std::string text =
      fmt::format("  layers {}, hidden {}, heads {} of {}, key heads {}, {}MLP {}, vocabulary {}\n", m.layers, m.hidden,
                  m.heads, m.head_dim, m.kv_heads, m.gated_mlp ? "gated " : "", m.ffn_hidden, m.vocab);
  if (m.moe)
    text +=
        fmt::format("  experts {}, {} used by a token, each {} wide{}\n", m.moe->experts, m.moe->experts_per_token,
                    m.moe->expert_ffn_hidden,
                    m.moe->dense_layers > 0 ? fmt::format("; the first {} layers are dense", m.moe->dense_layers) : "");
  if (m.mla)
    text += fmt::format("  latent attention: queries through {}, keys and values through {}\n", m.mla->q_lora_rank,
                        m.mla->kv_lora_rank);
  return text + fmt::format("  embeddings {}\n", m.tied_embeddings ? "tied" : "not tied");
}

std::string model_text(const ModelSpec& m, const ParameterCount& count, Flops per_token, std::int64_t sequence) {
  TextTable table{{"parameters", "count", "share"}, {}, {false, true, true}};
  const auto add = [&](const char* part, std::int64_t parameters) {
    table.rows.push_back(
        {part, fmt::format("{}", parameters),
         fmt::format("{:.2f} %", 100 * static_cast<double>(parameters) / static_cast<double>(count.total))});
  };
  add("embedding", count.embedding);
  add("layers", count.layers_total);
  add("final norm", count.final_norm);
  add("LM head", count.lm_head);
  add("total", count.total);
  if (count.active != count.total) add("used by a token", count.active);
  std::string text = fmt::format("{} ({})\n{}\n{}\n", m.name, m.family, shapes(m), to_text(table));
  text +=
      fmt::format("  training     {} a token with sequences of {} (forward and backward, causal, no recomputation)\n",
                  to_text(per_token), sequence);
  text += fmt::format("  16 N         {} of weights, gradients and Adam's state\n",
                      to_text(kBytesPerParameter * static_cast<double>(count.total) * bytes));
  return text + fmt::format("  plannable    {}\n", m.not_plannable.empty() ? "yes" : "no: " + m.not_plannable);
}

nlohmann::ordered_json model_json(const ModelSpec& m, const ParameterCount& count, Flops per_token,
                                  std::int64_t sequence) {
  nlohmann::ordered_json document = {{"name", m.name},
                                     {"family", m.family},
                                     {"layers", m.layers},
                                     {"hidden", m.hidden},
                                     {"ffn_hidden", m.ffn_hidden},
                                     {"heads", m.heads},
                                     {"kv_heads", m.kv_heads},
                                     {"head_dim", m.head_dim},
                                     {"vocab", m.vocab},
                                     {"gated_mlp", m.gated_mlp},
                                     {"tied_embeddings", m.tied_embeddings}};
  if (m.moe) {
    document["experts"] = m.moe->experts;
    document["experts_per_token"] = m.moe->experts_per_token;
    document["expert_ffn_hidden"] = m.moe->expert_ffn_hidden;
    document["shared_expert_ffn_hidden"] = m.moe->shared_expert_ffn_hidden;
    document["dense_layers"] = m.moe->dense_layers;
  }
  document["parameters"] = {{"embedding", count.embedding},   {"layers", count.layers_total},
                            {"final_norm", count.final_norm}, {"lm_head", count.lm_head},
                            {"total", count.total},           {"active", count.active}};
  document["sequence_length"] = sequence;
  document["model_flops_per_token"] = per_token.base();
  document["training_state_bytes"] = kBytesPerParameter * static_cast<double>(count.total);
  document["plannable"] = m.not_plannable.empty();
  if (!m.not_plannable.empty()) document["not_plannable"] = m.not_plannable;
  return document;
}

}  // namespace

int model(const ModelOptions& options) {
  const ModelSpec spec = load_model(SpecNode::parse(in_quotes(options.model), "CONFIG"), "");
  const ParameterCount count = count_parameters(spec);
  const Flops per_token = model_flops(spec, 1, options.sequence_length);
  if (options.format == Format::json) {
    print(model_json(spec, count, per_token, options.sequence_length).dump(2) + "\n");
  } else {
    print(model_text(spec, count, per_token, options.sequence_length));
  }
  return kDone;
}

}  // namespace foretrain::cli
