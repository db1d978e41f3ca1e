/// Scaled dot-product attention with grouped heads, forward and backward.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// Tensors: q [batch, seq_q, heads_q, d_qk], k [batch, seq_kv, heads_kv, d_qk], v [batch, seq_kv, heads_kv, d_v],
/// out [batch, seq_q, heads_q, d_v]. Query head h reads key head h / (heads_q / heads_kv): heads_kv == heads_q is MHA,
/// less GQA, 1 MQA.
struct AttentionShape {
  std::int64_t batch = 1, seq_q = 1, seq_kv = 1, heads_q = 1, heads_kv = 1, d_qk = 1, d_v = 1;
  bool causal = true;             ///< query i sees keys j <= i + query_offset
  std::int64_t query_offset = 0;  ///< position of the first query less that of the first key (context parallelism)
  double scale = 1;               ///< of the scores; 1 / sqrt(d_qk) as a rule
};

struct AttentionResult {
  Values out;
  Values log_sum_exp;  ///< [batch, heads_q, seq_q] of the scaled scores; -infinity where a query sees no key (out is 0)
};

/// out = softmax(scale q k^T) v.
AttentionResult attention(const AttentionShape& shape, View q, View k, View v);

struct AttentionGradient {
  Values dq, dk, dv;
};

/// With P = exp(scale q k^T - log_sum_exp), D = rowsum(dout * out):
/// dv = P^T dout, dS = P * (dout v^T - D), dq = scale dS k, dk = scale dS^T q.
/// `out` and `log_sum_exp` may be those of a whole of which k and v are a part (context parallelism).
AttentionGradient attention_backward(const AttentionShape& shape, View q, View k, View v,
                                     const AttentionResult& forward, View dout);

}  // namespace foretrain::reference
