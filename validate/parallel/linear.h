/// Linear layers with a rank's piece of the weight: column-parallel when rows of the weight are cut, row-parallel when
/// columns are.
#pragma once

#include "validate/parallel/math.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

/// x W^T + bias, [rows, out]; `bias` may be nullptr.
Tensor linear(Math& math, const Tensor& x, const Parameter& weight, const Parameter* bias);

/// Adds dy^T x to the weight's gradient, the sum of dy's rows to the bias's, and dy W to dx.
void linear_backward(Math& math, const Tensor& x, const Parameter& weight, const Parameter* bias, const Tensor& dy,
                     const Tensor& dx);

}  // namespace foretrain::parallel
