#include "validate/parallel/transformer_layer.h"

#include "validate/parallel/norm.h"

namespace foretrain::parallel {
namespace {

Tensor copy_of(const RankContext& rank, const Tensor& x) {
  Tensor y = rank.math.zeros(x.rows(), x.columns());
  rank.math.copy(x, y);
  return y;
}

Tensor run(const RankContext& rank, const Unit& layer, const Tensor& x, LayerActivations& kept) {
  Math& math = rank.math;
  const float drop = rank.model.hidden_drop;
  kept.middle = attention_forward(rank, layer, norm(rank, layer, "attention norm ", x), kept.attention);
  kept.attention_drop = rank.streams.draw(rank.region_outside());
  math.dropout(drop, kept.attention_drop, kept.middle);
  math.add(x, 1, kept.middle);
  Tensor y = mlp_forward(rank, layer, norm(rank, layer, "mlp norm ", kept.middle), kept.mlp);
  kept.mlp_drop = rank.streams.draw(rank.region_outside());
  math.dropout(drop, kept.mlp_drop, y);
  math.add(kept.middle, 1, y);
  return y;
}

}  // namespace

Tensor layer_forward(const RankContext& rank, const Unit& layer, const Tensor& x, LayerSaved& saved) {
  saved.x = x;
  saved.random_state = rank.streams.state();
  Tensor y = run(rank, layer, x, saved.activations);
  if (rank.plan.recompute) saved.activations = {};
  return y;
}

Tensor layer_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, LayerSaved& saved) {
  Math& math = rank.math;
  LayerActivations& kept = saved.activations;
  if (rank.plan.recompute) {
    const std::uint64_t now = rank.streams.state();
    rank.streams.rewind(saved.random_state);
    run(rank, layer, saved.x, kept);
    rank.streams.start(now);
  }
  const float drop = rank.model.hidden_drop;
  const Tensor dmlp = copy_of(rank, dy);
  math.dropout(drop, kept.mlp_drop, dmlp);
  Tensor dmiddle = norm_backward(rank, layer, "mlp norm ", kept.middle, mlp_backward(rank, layer, dmlp, kept.mlp));
  math.add(dy, 1, dmiddle);
  const Tensor dattention = copy_of(rank, dmiddle);
  math.dropout(drop, kept.attention_drop, dattention);
  Tensor dx = norm_backward(rank, layer, "attention norm ", saved.x,
                            attention_backward(rank, layer, dattention, kept.attention));
  math.add(dmiddle, 1, dx);
  return dx;
}

}  // namespace foretrain::parallel
