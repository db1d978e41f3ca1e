#include "validate/parallel/linear.h"

namespace foretrain::parallel {

Tensor linear(Math& math, const Tensor& x, const Parameter& weight, const Parameter* bias) {
  Tensor y = math.zeros(x.rows(), weight.value.rows());
  math.multiply(Product::nt, x, weight.value, false, y);
  if (bias != nullptr) math.add_row(bias->value, y);
  return y;
}

void linear_backward(Math& math, const Tensor& x, const Parameter& weight, const Parameter* bias, const Tensor& dy,
                     const Tensor& dx) {
  math.multiply(Product::tn, dy, x, true, weight.gradient);
  if (bias != nullptr) math.sum_rows(dy, bias->gradient);
  math.multiply(Product::nn, dy, weight.value, true, dx);
}

}  // namespace foretrain::parallel
