#include "validate/parallel/check_layers.h"

#include <algorithm>
#include <utility>

#include "validate/parallel/attention.h"
#include "validate/parallel/layer_bench.h"
#include "validate/parallel/mlp.h"
#include "validate/parallel/norm.h"
#include "validate/parallel/vocabulary.h"

namespace foretrain::parallel {
namespace {

const std::string kLayer = "layer 0";

std::vector<Matrix> inputs(const SmallModel& model, const ParallelPlan& plan, std::uint64_t seed) {
  return random_matrices(plan.micro_batch, model.sequence, model.hidden, 1, seed);
}

/// One all-reduce each way; or with sequence parallelism all-gathers and reduce-scatters in its place.
void require_pairing(LayerBench& bench, bool after_backward) {
  const bool sequence = bench.rank().plan.sequence_parallel;
  const std::string when = after_backward ? "after backward" : "after forward";
  bench.require_calls(bench.tensor(), Operation::all_reduce, sequence ? 0 : after_backward ? 2 : 1, when);
  bench.require_calls(bench.tensor(), Operation::all_gather, sequence ? (after_backward ? 3 : 1) : 0, when);
  bench.require_calls(bench.tensor(), Operation::reduce_scatter, sequence ? (after_backward ? 2 : 1) : 0, when);
}

/// Two messages a hop: keys and values, or their gradients.
void require_context_calls(LayerBench& bench, bool after_backward) {
  const std::int64_t ranks = bench.context().size();
  const bool ring = bench.rank().plan.context_kind == ContextKind::ring;
  const std::string when = after_backward ? "after backward" : "after forward";
  const std::int64_t hops = after_backward ? 2 * (ranks - 1) + ranks : ranks - 1;
  bench.require_calls(bench.context(), Operation::send, ring ? 2 * hops : 0, when);
  bench.require_calls(bench.context(), Operation::all_to_all, ring ? 0 : after_backward ? 8 : 4, when);
}

void run_mlp(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, kLayer, run);
  const std::vector<Matrix> x = inputs(model, plan, 11);
  const std::vector<Matrix> dy = inputs(model, plan, 12);
  MlpSaved saved;
  const Tensor y = mlp_forward(bench.rank(), bench.unit(), bench.upload_rows(x, false), saved);
  require_pairing(bench, false);
  const Tensor dx = mlp_backward(bench.rank(), bench.unit(), bench.upload_rows(dy, false), saved);
  require_pairing(bench, true);

  ReferenceModel reference(model, initial_weights(model, 1));
  std::vector<Matrix> wanted_y;
  std::vector<Matrix> wanted_dx;
  for (std::size_t s = 0; s < x.size(); ++s) {
    wanted_y.push_back(reference.mlp(0, x[s]));
    wanted_dx.push_back(reference.mlp_backward(0, x[s], dy[s]));
  }
  bench.compare_rows("mlp output", y, wanted_y, false);
  bench.compare_rows("mlp input gradient", dx, wanted_dx, false);
  bench.compare_gradients(reference.gradients());
}

void run_attention(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, kLayer, run);
  const std::vector<Matrix> x = inputs(model, plan, 21);
  const std::vector<Matrix> dy = inputs(model, plan, 22);
  AttentionSaved saved;
  const Tensor y = attention_forward(bench.rank(), bench.unit(), bench.upload_rows(x, false), saved);
  require_pairing(bench, false);
  require_context_calls(bench, false);
  const Tensor dx = attention_backward(bench.rank(), bench.unit(), bench.upload_rows(dy, false), saved);
  require_pairing(bench, true);
  require_context_calls(bench, true);

  ReferenceModel reference(model, initial_weights(model, 1));
  std::vector<Matrix> wanted_y;
  std::vector<Matrix> wanted_dx;
  for (std::size_t s = 0; s < x.size(); ++s) {
    wanted_y.push_back(reference.attention(0, x[s], static_cast<std::int64_t>(s), {}));
    wanted_dx.push_back(reference.attention_backward(0, x[s], static_cast<std::int64_t>(s), {}, dy[s]));
  }
  bench.compare_rows("attention output", y, wanted_y, false);
  bench.compare_rows("attention input gradient", dx, wanted_dx, false);
  bench.compare_gradients(reference.gradients());
}

void run_norm(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, "final norm", run);
  const std::vector<Matrix> x = inputs(model, plan, 31);
  const std::vector<Matrix> dy = inputs(model, plan, 32);
  const Tensor x_rows = bench.upload_rows(x, false);
  const Tensor y = norm(bench.rank(), bench.unit(), "", x_rows);
  const Tensor dx = norm_backward(bench.rank(), bench.unit(), "", x_rows, bench.upload_rows(dy, false));

  const Weights weights = initial_weights(model, 1);
  const auto row = [&](const std::string& name) {
    Matrix matrix(1, model.hidden);
    matrix.values.assign(weights.at(name).begin(), weights.at(name).end());
    return matrix;
  };
  const bool layer_norm = model.family == Family::gpt;
  const Matrix weight = row("final norm/weight");
  const Matrix bias = layer_norm ? row("final norm/bias") : Matrix();
  ReferenceWeights gradients;
  Matrix& dweight = gradients["final norm/weight"] = Matrix(1, model.hidden);
  Matrix& dbias = gradients["final norm/bias"] = Matrix(1, model.hidden);
  std::vector<Matrix> wanted_y;
  std::vector<Matrix> wanted_dx;
  for (std::size_t s = 0; s < x.size(); ++s) {
    wanted_y.push_back(reference_norm(x[s], weight, layer_norm ? &bias : nullptr));
    wanted_dx.push_back(reference_norm_backward(x[s], weight, dy[s], dweight, layer_norm ? &dbias : nullptr));
  }
  bench.compare_rows("norm output", y, wanted_y, false);
  bench.compare_rows("norm input gradient", dx, wanted_dx, false);
  bench.compare_gradients(gradients);
}

/// Token ids of the micro-batch's sequences, or what follows them.
std::vector<int> ids_of(const LayerBench& bench, std::size_t offset) {
  std::vector<int> ids;
  for (const int position : bench.rank().own_positions()) {
    for (int s = 0; s < bench.rank().plan.micro_batch; ++s)
      ids.push_back(token_ids(bench.rank().model, 0, s)[static_cast<std::size_t>(position) + offset]);
  }
  return ids;
}

void run_embedding(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, "words", run);
  const std::vector<Matrix> dy = inputs(model, plan, 41);
  const std::vector<int> ids = ids_of(bench, 0);
  const Tensor y = embed(bench.rank(), bench.unit(), ids);
  embed_backward(bench.rank(), bench.unit(), ids, bench.upload_rows(dy, false));

  const std::vector<float> table = initial_weights(model, 1).at("words/weight");
  ReferenceWeights gradients;
  Matrix& dtable = gradients["words/weight"] = Matrix(model.vocab, model.hidden);
  std::vector<Matrix> wanted;
  for (int s = 0; s < plan.micro_batch; ++s) {
    const std::vector<int> tokens = token_ids(model, 0, s);
    Matrix rows(model.sequence, model.hidden);
    for (std::int64_t p = 0; p < rows.rows; ++p) {
      const std::int64_t id = tokens[static_cast<std::size_t>(p)];
      for (std::int64_t c = 0; c < rows.columns; ++c) {
        rows(p, c) = double{table[static_cast<std::size_t>(id * model.hidden + c)]};
        dtable(id, c) += dy[static_cast<std::size_t>(s)](p, c);
      }
    }
    wanted.push_back(rows);
  }
  bench.compare_rows("embedding", y, wanted, false);
  bench.compare_gradients(gradients);
}

void run_loss(const SmallModel& model, const ParallelPlan& plan, const CheckRun& run) {
  LayerBench bench(model, plan, "head", run);
  // Wide enough that the exponential of a logit, without its row's maximum, would overflow a float (logit > 88.7).
  const std::vector<Matrix> x = random_matrices(plan.micro_batch, model.sequence, model.hidden, 150, 51);
  const std::vector<int> targets = ids_of(bench, 1);
  const float factor = 0.125F;
  LossSaved saved;
  const auto loss =
      static_cast<float>(vocabulary_loss(bench.rank(), bench.unit(), bench.upload_rows(x, false), targets, saved));
  const Tensor dx = vocabulary_loss_backward(bench.rank(), bench.unit(), targets, factor, saved);

  const std::vector<float> floats = initial_weights(model, 1).at("head/weight");
  Matrix table(model.vocab, model.hidden);
  table.values.assign(floats.begin(), floats.end());
  ReferenceWeights gradients;
  Matrix& dtable = gradients["head/weight"] = Matrix(model.vocab, model.hidden);
  std::vector<Matrix> wanted_dx;
  double wanted_loss = 0;
  double largest_logit = 0;
  for (int s = 0; s < plan.micro_batch; ++s) {
    const std::vector<int> tokens = token_ids(model, 0, s);
    const Matrix logits = reference_linear(x[static_cast<std::size_t>(s)], table, nullptr);
    largest_logit = std::max(largest_logit, largest(logits.values));
    Matrix dlogits;
    wanted_loss += reference_cross_entropy(logits, {tokens.begin() + 1, tokens.end()}, dlogits);
    for (double& value : dlogits.values) value *= double{factor};
    wanted_dx.push_back(reference_linear_backward(x[static_cast<std::size_t>(s)], table, dlogits, dtable, nullptr));
  }
  run.difference.require(largest_logit > 89, "logits too small to need the maximum");
  bench.set_condition(largest_logit);  // exp(a + e) is exp(a) (1 + e), and e is relative to the logit
  run.difference.compare("loss", {&loss, 1}, {&wanted_loss, 1}, bench.allowed());
  bench.compare_rows("head input gradient", dx, wanted_dx, false);
  bench.compare_gradients(gradients);
}

using LayerRun = void (*)(const SmallModel&, const ParallelPlan&, const CheckRun&);

Check layer_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults,
                  LayerRun layer_run) {
  FORETRAIN_CHECK(why_illegal(model, plan) == nullptr);
  return {std::move(name), plan.ranks(), [=](const CheckRun& run) { layer_run(model, plan, run); }, std::move(faults)};
}

}  // namespace

Check mlp_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults) {
  return layer_check(std::move(name), model, plan, std::move(faults), run_mlp);
}

Check attention_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults) {
  return layer_check(std::move(name), model, plan, std::move(faults), run_attention);
}

Check norm_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults) {
  return layer_check(std::move(name), model, plan, std::move(faults), run_norm);
}

Check embedding_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults) {
  return layer_check(std::move(name), model, plan, std::move(faults), run_embedding);
}

Check loss_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults) {
  return layer_check(std::move(name), model, plan, std::move(faults), run_loss);
}

}  // namespace foretrain::parallel
