#include "validate/parallel/model_part.h"

#include <string>

#include "validate/parallel/norm.h"

namespace foretrain::parallel {

ModelPart::ModelPart(const RankContext& rank, ShardedParameters& parameters, int part, int parts)
    : rank_(rank),
      parameters_(parameters),
      part_(part),
      parts_(parts),
      first_layer_(rank.model.layers / parts * part),
      layers_(rank.model.layers / parts) {
  FORETRAIN_CHECK(rank.model.layers % parts == 0);
}

std::vector<std::string> ModelPart::unit_names(const SmallModel& model, int part, int parts) {
  std::vector<std::string> names;
  if (part == 0) {
    names.emplace_back("words");
    if (model.family == Family::gpt) names.emplace_back("positions");
  }
  const std::int64_t layers = model.layers / parts;
  for (std::int64_t i = 0; i < layers; ++i) names.push_back("layer " + std::to_string(part * layers + i));
  if (part == parts - 1) {
    names.emplace_back("final norm");
    names.emplace_back(model.tied_embeddings ? "words" : "head");
  }
  return names;
}

Unit& ModelPart::head() { return parameters_.unit(rank_.model.tied_embeddings ? "words" : "head"); }

std::vector<int> ModelPart::own_row_positions() const {
  const std::int64_t rows = rank_.own_rows();
  const std::int64_t first = rank_.plan.sequence_parallel ? rows * rank_.mesh.place.tensor : 0;
  std::vector<int> positions;
  for (std::int64_t row = first; row < first + rows; ++row)
    positions.push_back(rank_.own_positions()[static_cast<std::size_t>(row / rank_.plan.micro_batch)]);
  return positions;
}

Tensor ModelPart::forward(const MicroBatch& tokens, std::uint64_t pass, const Tensor& x, PartSaved& saved) {
  const auto calls = static_cast<std::uint64_t>(3 * rank_.model.layers + 1);
  const auto own_first_call = static_cast<std::uint64_t>(is_first() ? 0 : 1 + 3 * first_layer_);
  rank_.streams.start(pass * calls + own_first_call);
  saved.tokens = tokens;
  Tensor y = x;
  if (is_first()) {
    Unit& words = parameters_.unit("words");
    parameters_.gather(words);
    y = embed(rank_, words, tokens.ids);
    parameters_.release(words);
    if (rank_.model.family == Family::gpt) {
      Unit& positions = parameters_.unit("positions");
      parameters_.gather(positions);
      rank_.math.add(rank_.math.lookup(positions["weight"].value, own_row_positions(), 0), 1, y);
      parameters_.release(positions);
    }
    saved.embedding_drop = rank_.streams.draw(rank_.region_outside());
    rank_.math.dropout(rank_.model.hidden_drop, saved.embedding_drop, y);
  }
  saved.layers.resize(static_cast<std::size_t>(layers_));
  for (std::int64_t i = 0; i < layers_; ++i) {
    Unit& layer = parameters_.unit("layer " + std::to_string(first_layer_ + i));
    parameters_.gather(layer);
    y = layer_forward(rank_, layer, y, saved.layers[static_cast<std::size_t>(i)]);
    parameters_.release(layer);
  }
  if (!is_last()) return y;
  Unit& final_norm = parameters_.unit("final norm");
  parameters_.gather(final_norm);
  saved.last_x = y;
  const Tensor normed = norm(rank_, final_norm, "", y);
  parameters_.release(final_norm);
  parameters_.gather(head());
  saved.loss_sum = vocabulary_loss(rank_, head(), normed, tokens.targets, saved.loss);
  parameters_.release(head());
  return {};
}

Tensor ModelPart::backward(const Tensor& dy, float loss_factor, PartSaved& saved) {
  Tensor dx = dy;
  if (is_last()) {
    parameters_.gather(head());
    dx = vocabulary_loss_backward(rank_, head(), saved.tokens.targets, loss_factor, saved.loss);
    parameters_.finish_backward(head());
    parameters_.release(head());
    Unit& final_norm = parameters_.unit("final norm");
    parameters_.gather(final_norm);
    dx = norm_backward(rank_, final_norm, "", saved.last_x, dx);
    parameters_.finish_backward(final_norm);
    parameters_.release(final_norm);
  }
  for (std::int64_t i = layers_; i-- > 0;) {
    Unit& layer = parameters_.unit("layer " + std::to_string(first_layer_ + i));
    parameters_.gather(layer);
    dx = layer_backward(rank_, layer, dx, saved.layers[static_cast<std::size_t>(i)]);
    parameters_.finish_backward(layer);
    parameters_.release(layer);
  }
  if (!is_first()) return dx;
  rank_.math.dropout(rank_.model.hidden_drop, saved.embedding_drop, dx);
  if (rank_.model.family == Family::gpt) {
    Unit& positions = parameters_.unit("positions");
    rank_.math.lookup_backward(dx, own_row_positions(), 0, positions["weight"].gradient);
    parameters_.finish_backward(positions);
  }
  Unit& words = parameters_.unit("words");
  embed_backward(rank_, words, saved.tokens.ids, dx);
  parameters_.finish_backward(words);
  return {};
}

}  // namespace foretrain::parallel
