#include "validate/reference/softmax.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace foretrain::reference {
namespace {

std::size_t visible(const SoftmaxShape& shape, std::int64_t row) {
  return size_of(shape.causal ? std::min(shape.cols, row % shape.queries + 1) : shape.cols);
}

}  // namespace

Values softmax(const SoftmaxShape& shape, View x) {
  FORETRAIN_CHECK(x.size() == size_of(shape.rows * shape.cols));
  Values y(x.size());
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    const std::size_t first = size_of(r * shape.cols), count = visible(shape, r);
    const View row = x.subspan(first, count);
    double largest = shape.scale * row[0], sum = 0;
    for (const double v : row) largest = std::max(largest, shape.scale * v);
    for (const double v : row) sum += std::exp(shape.scale * v - largest);
    for (std::size_t c = 0; c < count; ++c) y[first + c] = std::exp(shape.scale * row[c] - largest) / sum;
  }
  return y;
}

Values softmax_backward(const SoftmaxShape& shape, View y, View dy) {
  FORETRAIN_CHECK(y.size() == size_of(shape.rows * shape.cols) && dy.size() == y.size());
  Values dx(y.size());
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    const std::size_t first = size_of(r * shape.cols), count = visible(shape, r);
    double sum = 0;
    for (std::size_t c = first; c < first + count; ++c) sum += y[c] * dy[c];
    for (std::size_t c = first; c < first + count; ++c) dx[c] = shape.scale * y[c] * (dy[c] - sum);
  }
  return dx;
}

}  // namespace foretrain::reference
