/// The ends of a model, whose tables tensor parallelism cuts by vocabulary: embedding, and logits with their loss.
#pragma once

#include <span>

#include "validate/parallel/rank_context.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

/// The rows of the table [vocab / tensor, hidden] that this rank has, zero for other tokens, summed over the tensor
/// ranks. `ids` are those of whole_rows. [own_rows, hidden]
Tensor embed(const RankContext& rank, const Unit& words, std::span<const int> ids);
void embed_backward(const RankContext& rank, const Unit& words, std::span<const int> ids, const Tensor& dy);

struct LossSaved {
  Tensor x;       ///< [own_rows, hidden]
  Tensor logits;  ///< [whole_rows, vocab / tensor]
  Tensor max;     ///< [whole_rows, 1], of the whole vocabulary
  Tensor sums;    ///< [whole_rows, 2], see Math::softmax_sums, of the whole vocabulary
};

/// Sum over the rows of -log softmax(x table^T)[target], the same on every tensor rank. Two all-reduces: of the maxima,
/// and of the sums of exponentials with the targets' logits. Source: Megatron-LM
/// megatron/core/tensor_parallel/cross_entropy.py (which sends the latter two one by one).
double vocabulary_loss(const RankContext& rank, const Unit& table, const Tensor& x, std::span<const int> targets,
                       LossSaved& saved);
/// The gradient of `factor` times the loss: gives dx, adds to the table's.
Tensor vocabulary_loss_backward(const RankContext& rank, const Unit& table, std::span<const int> targets, float factor,
                                const LossSaved& saved);

}  // namespace foretrain::parallel
