#include "validate/reference/norm.h"

#include <cmath>

#include "base/check.h"

namespace foretrain::reference {

NormResult norm(const NormShape& shape, View x, View weight, View bias) {
  const std::size_t rows = size_of(shape.rows), cols = size_of(shape.cols);
  FORETRAIN_CHECK(x.size() == rows * cols && weight.size() == cols && (bias.empty() || bias.size() == cols));
  NormResult result{.y = Values(rows * cols), .mean = Values(rows), .inverse_deviation = Values(rows)};
  const auto count = static_cast<double>(shape.cols);
  for (std::size_t r = 0; r < rows; ++r) {
    const View row = x.subspan(r * cols, cols);
    double mean = 0, square = 0;
    if (shape.norm == Norm::layer) {
      for (const double v : row) mean += v / count;
    }
    for (const double v : row) square += (v - mean) * (v - mean) / count;
    const double inverse = 1 / std::sqrt(square + shape.epsilon);
    for (std::size_t c = 0; c < cols; ++c) {
      result.y[r * cols + c] = (row[c] - mean) * inverse * weight[c] + (bias.empty() ? 0 : bias[c]);
    }
    result.mean[r] = mean;
    result.inverse_deviation[r] = inverse;
  }
  return result;
}

NormGradient norm_backward(const NormShape& shape, View x, View weight, const NormResult& forward, View dy) {
  const std::size_t rows = size_of(shape.rows), cols = size_of(shape.cols);
  FORETRAIN_CHECK(x.size() == rows * cols && dy.size() == rows * cols && weight.size() == cols);
  NormGradient gradient{.dx = Values(rows * cols), .dweight = Values(cols), .dbias = Values(cols)};
  const auto count = static_cast<double>(shape.cols);
  for (std::size_t r = 0; r < rows; ++r) {
    const double inverse = forward.inverse_deviation[r];
    const auto normalised = [&](std::size_t c) { return (x[r * cols + c] - forward.mean[r]) * inverse; };
    double mean_g = 0, mean_gh = 0;
    for (std::size_t c = 0; c < cols; ++c) {
      const double g = dy[r * cols + c] * weight[c];
      if (shape.norm == Norm::layer) mean_g += g / count;
      mean_gh += g * normalised(c) / count;
      gradient.dweight[c] += dy[r * cols + c] * normalised(c);
      gradient.dbias[c] += dy[r * cols + c];
    }
    for (std::size_t c = 0; c < cols; ++c) {
      gradient.dx[r * cols + c] = inverse * (dy[r * cols + c] * weight[c] - mean_g - normalised(c) * mean_gh);
    }
  }
  return gradient;
}

}  // namespace foretrain::reference
