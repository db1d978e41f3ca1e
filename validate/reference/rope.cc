#include "validate/reference/rope.h"

#include <cmath>

#include "base/check.h"

namespace foretrain::reference {
namespace {

Values turn(const RopeShape& shape, Indices positions, View x, double direction) {
  FORETRAIN_CHECK(shape.head_dim % 2 == 0 && positions.size() == size_of(shape.tokens));
  FORETRAIN_CHECK(x.size() == size_of(shape.tokens * shape.heads * shape.head_dim));
  const std::int64_t half = shape.head_dim / 2;
  Values y(x.size());
  for (std::int64_t row = 0; row < shape.tokens * shape.heads; ++row) {
    for (std::int64_t pair = 0; pair < half; ++pair) {
      const double angle = rope_angle(shape, positions[size_of(row / shape.heads)], pair);
      const double cosine = std::cos(angle), sine = direction * std::sin(angle);
      const std::size_t low = size_of(row * shape.head_dim + pair), high = low + size_of(half);
      y[low] = x[low] * cosine - x[high] * sine;
      y[high] = x[high] * cosine + x[low] * sine;
    }
  }
  return y;
}

}  // namespace

double rope_angle(const RopeShape& shape, std::int64_t position, std::int64_t pair) {
  const double exponent = -2.0 * static_cast<double>(pair) / static_cast<double>(shape.head_dim);
  return static_cast<double>(position) * std::pow(shape.base, exponent);
}

Values rope(const RopeShape& shape, Indices positions, View x) { return turn(shape, positions, x, 1); }
Values rope_backward(const RopeShape& shape, Indices positions, View dy) { return turn(shape, positions, dy, -1); }

}  // namespace foretrain::reference
