#include "validate/parallel/expected_masks.h"

#include <algorithm>

namespace foretrain::parallel {
namespace {

struct Token {
  int context_rank = 0;
  std::int64_t row = 0;  ///< of the context rank's tokens of the micro-batch
};

Token token_of(const TrainSetup& setup, std::int64_t position, std::int64_t in_micro_batch) {
  for (int c = 0; c < setup.plan.context; ++c) {
    const std::vector<int> positions = positions_of(setup.model.sequence, c, setup.plan.context);
    const auto found = std::find(positions.begin(), positions.end(), position);
    if (found != positions.end()) return {c, (found - positions.begin()) * setup.plan.micro_batch + in_micro_batch};
  }
  FORETRAIN_CHECK(false);
}

double factor(float drop, std::uint64_t seed, std::uint64_t call, std::int64_t index) {
  if (drop == 0) return 1;
  return uniform({seed, call}, static_cast<std::uint64_t>(index)) < drop ? 0 : 1 / (1 - double{drop});
}

double keep(const TrainSetup& setup, std::int64_t step, const DropElement& e) {
  const ParallelPlan& plan = setup.plan;
  const SmallModel& model = setup.model;
  const std::int64_t in_micro_batch = e.sequence_number % plan.micro_batch;
  const std::int64_t micro_batch = e.sequence_number / plan.micro_batch % plan.micro_batches;
  const std::int64_t first_call = (step * plan.micro_batches + micro_batch) * (3 * model.layers + 1);
  const Token token = token_of(setup, e.position, in_micro_batch);
  // Megatron-LM's 2718 for what tensor ranks draw alone; 10000 a context rank.
  const auto seed_of = [&](std::int64_t context_rank, std::int64_t own_tensor_rank) {
    return setup.seed + static_cast<std::uint64_t>(10000 * context_rank) +
           (own_tensor_rank < 0 ? 0 : 2718 + static_cast<std::uint64_t>(own_tensor_rank));
  };
  if (e.site == DropSite::attention) {
    std::int64_t heads = model.heads / plan.tensor;
    const std::int64_t tensor_rank = e.column / heads;
    std::int64_t head = e.column % heads;
    std::int64_t context_rank = token.context_rank;
    if (plan.context_kind == ContextKind::ulysses) {
      heads /= plan.context;
      context_rank = head / heads;
      head %= heads;
    }
    const std::int64_t row = (in_micro_batch * heads + head) * model.sequence + e.position;
    return factor(model.attention_drop, seed_of(context_rank, tensor_rank),
                  static_cast<std::uint64_t>(first_call + 1 + 3 * e.layer), row * model.sequence + e.key);
  }
  std::int64_t call = first_call;
  if (e.site == DropSite::after_attention) call += 1 + 3 * e.layer + 1;
  if (e.site == DropSite::after_mlp) call += 1 + 3 * e.layer + 2;
  std::int64_t tensor_rank = -1;
  std::int64_t row = token.row;
  if (plan.sequence_parallel) {
    const std::int64_t own_rows = model.sequence / plan.context * plan.micro_batch / plan.tensor;
    tensor_rank = row / own_rows;
    row %= own_rows;
  }
  return factor(model.hidden_drop, seed_of(token.context_rank, tensor_rank), static_cast<std::uint64_t>(call),
                row * model.hidden + e.column);
}

}  // namespace

DropRule expected_masks(const TrainSetup& setup, std::int64_t step) {
  if (setup.model.attention_drop == 0 && setup.model.hidden_drop == 0) return {};
  return [setup, step](const DropElement& element) { return keep(setup, step, element); };
}

}  // namespace foretrain::parallel
