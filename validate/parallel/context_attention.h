/// Attention whose tokens are spread over context ranks: keys and values go round a ring, or heads change places with
/// tokens (Ulysses).
#pragma once

#include "validate/parallel/rank_context.h"

namespace foretrain::parallel {

/// Ulysses: once attention has run, of all positions and this rank's share of the tensor rank's heads.
struct ContextAttentionSaved {
  Tensor q;  ///< [whole_rows, heads / tensor * head_dim], rotated
  Tensor k;  ///< [whole_rows, kv_heads here * head_dim], rotated
  Tensor v;
  AttentionResult result;  ///< over all keys
  Draw draw;
};

/// Fills `saved.result` from q, k, v and draw, and gives the output [whole_rows, heads / tensor * head_dim].
/// Ring: Liu et al., arXiv 2310.01889; C - 1 hops. Ulysses: Jacobs et al., arXiv 2309.14509; four all-to-alls, and four
/// backward; the heads and kv heads of a tensor rank must be divisible by C.
Tensor context_attention(const RankContext& rank, ContextAttentionSaved& saved);

struct AttentionGradients {
  Tensor dq;
  Tensor dk;
  Tensor dv;
};
/// Ring: C - 1 hops of the keys and values, C of their gradients, which end where they belong.
AttentionGradients context_attention_backward(const RankContext& rank, const ContextAttentionSaved& saved,
                                              const Tensor& dout);

}  // namespace foretrain::parallel
