/// The MLP of a transformer layer: column-parallel up (and gate), row-parallel down, one sum over the tensor ranks each
/// way.
#pragma once

#include "validate/parallel/rank_context.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

struct MlpSaved {
  Tensor x;     ///< [own_rows, hidden]
  Tensor gate;  ///< [whole_rows, ffn_hidden / tensor], llama only
  Tensor up;    ///< [whole_rows, ffn_hidden / tensor]
};

/// down(gelu(up(x))), or down(silu(gate(x)) * up(x)), with the parameters of a layer's unit. [own_rows, hidden]
Tensor mlp_forward(const RankContext& rank, const Unit& layer, const Tensor& x, MlpSaved& saved);
/// Gives dx and adds to the unit's gradients.
Tensor mlp_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, const MlpSaved& saved);

}  // namespace foretrain::parallel
