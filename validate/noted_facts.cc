#include "validate/noted_facts.h"

#include <array>
#include <optional>
#include <regex>
#include <string>
#include <string_view>

#include "base/text.h"

namespace foretrain {
namespace {

struct NotedFact {
  std::string_view words;
  void (*apply)(Problem&);
};

/// torchtitan splits a rank's batch into as many micro-batches as there are stages, unless told otherwise. Source:
/// pytorch/torchtitan 9dec370 torchtitan/parallelisms/pipelining_utils.py (build_pipeline_schedule).
void as_many_micro_batches_as_stages(Problem& p) {
  const std::int64_t batches = std::int64_t{p.plan->data} * p.plan->pipeline;
  if (p.software.framework != FrameworkKind::torchtitan || p.training.global_batch % batches != 0) return;
  p.plan->micro_batch = static_cast<std::int32_t>(p.training.global_batch / batches);
}

constexpr std::array kNotes = {
    NotedFact{"deterministic mode", [](Problem& p) { p.software.version += "; deterministic mode"; }},
    NotedFact{"no gradient-accumulation fusion=true",
              [](Problem& p) { p.software.version += "; no gradient accumulation fusion"; }},
    NotedFact{"cp all-to-all", [](Problem& p) { p.plan->context_kind = ContextKind::ulysses; }},
    NotedFact{"microbatch size assumed 1 (torchtitan default", as_many_micro_batches_as_stages}};

/// Two layers on the first and on the last stage, the others evenly between.
void two_layers_at_the_ends(Problem& p) {
  const std::int64_t inner = p.plan->pipeline - 2;
  if (inner < 1 || p.plan->virtual_pipeline > 1 || (p.model.layers - 4) % inner != 0) return;
  p.plan->stage_layers.assign(static_cast<std::size_t>(p.plan->pipeline),
                              static_cast<std::int32_t>((p.model.layers - 4) / inner));
  p.plan->stage_layers.front() = p.plan->stage_layers.back() = 2;
}

/// Megatron-LM names its functional tests after their flags. Source: NVIDIA/Megatron-LM d98e8a64ddf3
/// tests/functional_tests/test_cases/gpt/*/model_config.yaml.
constexpr std::array kTestNames = {
    NotedFact{"_cross_entropy_loss_fusion",
              [](Problem& p) { p.software.version += "; compiled cross entropy"; }},  // implementation: native
    NotedFact{"_defer_embedding_wgrad_compute", [](Problem& p) { p.software.version += "; head gradients deferred"; }},
    NotedFact{"_qk_layernorm", [](Problem& p) { p.model.qk_norm_params = 4 * p.model.head_dim; }},  // weights, biases
    NotedFact{"_multi_dist_optimizer_instances",                                                    // two of them
              [](Problem& p) { p.plan->shard_group = p.plan->data * p.plan->context / 2; }},
    NotedFact{"_uneven_pipeline", two_layers_at_the_ends}};

/// "full recompute of 5 of 32 layers": Megatron's block method, which recomputes the first layers of each chunk.
void some_layers_recomputed(const SpecNode& run, Problem& p) {
  static const std::regex words(R"(full recompute of (\d{1,4}) of \d+ layers)");
  const std::optional<SpecNode> note = run.optional("plan_note");
  std::smatch match;
  if (p.plan->recompute != Recompute::full || p.plan->recompute_layers > 0 || !note || !note->is_string()) return;
  const std::string text = note->as_string();
  if (std::regex_search(text, match, words)) p.plan->recompute_layers = std::stoi(match[1]);
}

template <std::size_t N>
void apply(const std::array<NotedFact, N>& facts, const SpecNode& object, std::string_view key, Problem& problem) {
  const std::optional<SpecNode> text = object.is_object() ? object.optional(key) : std::nullopt;
  if (!text || !text->is_string()) return;
  const std::string words = to_lower(text->as_string());
  for (const NotedFact& fact : facts)
    if (words.find(fact.words) != std::string::npos) fact.apply(problem);
}

}  // namespace

void apply_noted_facts(const SpecNode& run, Problem& problem) {
  apply(kNotes, run, "notes", problem);
  some_layers_recomputed(run, problem);
  const SpecNode model = run.required("model");
  if (model.is_object()) apply(kTestNames, model, "name", problem);
}

}  // namespace foretrain
