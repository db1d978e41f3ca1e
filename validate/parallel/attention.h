/// The attention of a transformer layer, by heads: column-parallel query, key and value, row-parallel output.
#pragma once

#include "validate/parallel/context_attention.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

struct AttentionSaved {
  Tensor x;  ///< [own_rows, hidden]
  ContextAttentionSaved inner;
  Tensor out;  ///< [whole_rows, heads / tensor * head_dim], what the output projection reads
};

/// Causal grouped-query attention with the parameters of a layer's unit. With more tensor ranks than kv heads,
/// consecutive ranks hold the same kv head. Draws one mask. [own_rows, hidden]
Tensor attention_forward(const RankContext& rank, const Unit& layer, const Tensor& x, AttentionSaved& saved);
/// Gives dx and adds to the unit's gradients; those of a kv head that several ranks hold are shares of it.
Tensor attention_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, const AttentionSaved& saved);

}  // namespace foretrain::parallel
