/// A transformer layer: h = x + dropout(attention(norm(x))), y = h + dropout(mlp(norm(h))), with or without
/// recomputation.
#pragma once

#include "validate/parallel/attention.h"
#include "validate/parallel/mlp.h"

namespace foretrain::parallel {

struct LayerActivations {
  AttentionSaved attention;
  Draw attention_drop;
  Tensor middle;  ///< h, [own_rows, hidden]
  MlpSaved mlp;
  Draw mlp_drop;
};

/// What a layer keeps for its backward pass. With full recomputation (Chen et al., arXiv 1604.06174) only the input and
/// the state of the random streams.
struct LayerSaved {
  Tensor x;  ///< [own_rows, hidden]
  std::uint64_t random_state = 0;
  LayerActivations activations;
};

/// Draws three masks: attention probabilities, after the attention, after the MLP. [own_rows, hidden]
Tensor layer_forward(const RankContext& rank, const Unit& layer, const Tensor& x, LayerSaved& saved);
/// Gives dx and adds to the unit's gradients. Leaves the random streams as they were.
Tensor layer_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, LayerSaved& saved);

}  // namespace foretrain::parallel
