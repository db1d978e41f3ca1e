/// Causal attention over a block of keys in plain loops, forward and backward.
#pragma once

#include "validate/parallel/math.h"

namespace foretrain::parallel {

/// `result` has the shapes of Math::attention and is overwritten.
void attention_on_cpu(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                      const AttentionResult& result);
void merge_attention_on_cpu(const AttentionBlock& block, const AttentionResult& more, const AttentionResult& sum);
void attention_backward_on_cpu(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                               const AttentionResult& whole, const Tensor& dout, const Tensor& dq, const Tensor& dk,
                               const Tensor& dv);

}  // namespace foretrain::parallel
