#include "planner/model.h"

namespace foretrain {

Flops model_flops(const ModelSpec& m, double tokens, std::int64_t sequence_length, bool causal) {
  // Forward plus the two products of backward, a multiplication and an addition each: 6 a weight and token.
  const double logits = static_cast<double>(1 + m.mtp_layers) * static_cast<double>(m.vocab * m.hidden);
  const double weights = static_cast<double>(matmul_parameters_per_token(m)) + logits;
  // Scores contract over a query head's width, their product with the values over a value head's.
  const std::int64_t score_width = m.mla ? m.mla->qk_nope_head_dim + m.mla->qk_rope_head_dim : m.head_dim;
  const std::int64_t value_width = m.mla ? m.mla->v_head_dim : m.head_dim;
  const double attention = static_cast<double>((m.layers + m.mtp_layers) * m.heads * (score_width + value_width)) *
                           static_cast<double>(sequence_length) * (causal ? 0.5 : 1.0);
  return Flops::from_base(6.0 * tokens * (weights + attention));
}

}  // namespace foretrain
