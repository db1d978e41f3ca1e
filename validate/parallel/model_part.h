/// A part of the model, what one chunk of a pipeline stage runs: layers, before them the embedding, after them the
/// loss.
#pragma once

#include <vector>

#include "validate/parallel/transformer_layer.h"
#include "validate/parallel/vocabulary.h"

namespace foretrain::parallel {

/// The tokens of this rank's positions, [position, sequence], and the tokens that follow them.
struct MicroBatch {
  std::vector<int> ids;
  std::vector<int> targets;
};

/// What one pass keeps between forward and backward.
struct PartSaved {
  MicroBatch tokens;
  Draw embedding_drop;
  std::vector<LayerSaved> layers;
  Tensor last_x;  ///< before the final norm
  LossSaved loss;
  double loss_sum = 0;  ///< over the rows; last part only
};

class ModelPart {
 public:
  /// Part `part` of `parts`; the layers must be divisible. Its units must be in `parameters`.
  ModelPart(const RankContext& rank, ShardedParameters& parameters, int part, int parts);

  /// Names of the units that a part reads, in the order it reads them first.
  static std::vector<std::string> unit_names(const SmallModel& model, int part, int parts);

  bool is_first() const { return part_ == 0; }
  bool is_last() const { return part_ == parts_ - 1; }

  /// `x` [own_rows, hidden] is ignored by the first part; the last gives an empty tensor and the loss. `pass` numbers
  /// the micro-batches of all steps: pass (3 layers + 1) is the first of its dropout calls, one for the embedding and
  /// three for each layer, whichever rank runs it.
  Tensor forward(const MicroBatch& tokens, std::uint64_t pass, const Tensor& x, PartSaved& saved);
  /// Gradient of `loss_factor` times the loss. `dy` is ignored by the last part; the first gives an empty tensor.
  Tensor backward(const Tensor& dy, float loss_factor, PartSaved& saved);

 private:
  Unit& head();
  std::vector<int> own_row_positions() const;

  const RankContext& rank_;
  ShardedParameters& parameters_;
  int part_;
  int parts_;
  std::int64_t first_layer_;
  std::int64_t layers_;
};

}  // namespace foretrain::parallel
