/// Matrix multiplication in the three layouts of a linear layer.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// How the operands of C[m, n] = A[m, k] B[k, n] lie in memory (row-major):
///   forward          y[m, n]  = x w^T:   A is x [m, k],             B is the weight as stored, w [n, k]
///   input_gradient   dx[m, n] = dy w:    A is dy [m, k],            B is the weight as stored, w [k, n]
///   weight_gradient  dw[m, n] = dy^T x:  A is dy as stored [k, m],  B is x [k, n]
enum class LinearPass { forward, input_gradient, weight_gradient };

struct GemmShape {
  LinearPass pass = LinearPass::forward;
  std::int64_t batch = 1, m = 1, n = 1, k = 1;
};

/// C [batch, m, n]. `added` is empty or [batch, m, n] and is added to the product.
Values gemm(const GemmShape& shape, View a, View b, View added = {});

}  // namespace foretrain::reference
