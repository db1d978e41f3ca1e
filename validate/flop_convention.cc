#include "validate/flop_convention.h"

#include <array>

#include "base/check.h"

namespace foretrain {
namespace {

enum class Scores { all, causal_half, none };

/// The first row whose words occur in the source's name holds.
struct Convention {
  std::string_view words;
  Scores scores;
};
// Each found by recomputing the FLOP/s that the source prints beside its seconds.
constexpr std::array kConventions = {
    Convention{"FlagPerf", Scores::none},                // 6 N tokens
    Convention{"Megatron-Bridge", Scores::causal_half},  // its formula since 25.09
    Convention{"Megatron-LM functional", Scores::causal_half},
    Convention{"Megatron-LM main", Scores::causal_half},
    Convention{"",
               Scores::all},  // llm-foundry, torchtitan, nanotron, InternEvo, NeMo 24.07, dgxc, Megatron 2020 to 2022
};

double tokens_of(const Problem& problem) {
  return static_cast<double>(problem.training.global_batch) * static_cast<double>(problem.training.sequence_length);
}

}  // namespace

Flops model_flops_by(std::string_view source, const Problem& problem) {
  const std::int64_t sequence = problem.training.sequence_length;
  const Flops all = model_flops(problem.model, tokens_of(problem), sequence, false);
  const Flops half = model_flops(problem.model, tokens_of(problem), sequence, true);
  for (const Convention& convention : kConventions) {
    if (source.find(convention.words) == std::string_view::npos) continue;
    if (convention.scores == Scores::all) return all;
    if (convention.scores == Scores::causal_half) return half;
    return all - 2.0 * (all - half);
  }
  FORETRAIN_CHECK(false);
  return all;
}

Flops hardware_flops(const Problem& problem) {
  FORETRAIN_CHECK(problem.plan.has_value());
  const std::int64_t sequence = problem.training.sequence_length;
  const double tokens = tokens_of(problem);
  const Flops all = model_flops(problem.model, tokens, sequence, false);
  const Flops scores = 2.0 * (all - model_flops(problem.model, tokens, sequence, true));
  const Flops head =
      6.0 * tokens * static_cast<double>(problem.model.hidden) * static_cast<double>(problem.model.vocab) * flops;
  if (problem.plan->recompute == Recompute::full) return all + (all - head) / 3.0;
  if (problem.plan->recompute == Recompute::selective) return all + scores / 3.0;
  return all;
}

}  // namespace foretrain
