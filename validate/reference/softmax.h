/// Softmax over rows, plain or causal, forward and backward.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// x [rows, cols]. Causal: row r is the query r % queries and sees the columns up to that number; the others give 0.
struct SoftmaxShape {
  std::int64_t rows = 1, cols = 1;
  double scale = 1;  ///< x is multiplied by it first
  bool causal = false;
  std::int64_t queries = 1;  ///< of one head of one sample; unused unless causal
};

/// y = exp(scale x - max) / sum.
Values softmax(const SoftmaxShape& shape, View x);
/// dx = scale y (dy - sum(y dy)), from the output y.
Values softmax_backward(const SoftmaxShape& shape, View y, View dy);

}  // namespace foretrain::reference
