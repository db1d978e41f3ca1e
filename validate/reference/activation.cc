#include "validate/reference/activation.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace foretrain::reference {
namespace {

constexpr double kCubic = 0.044715;
double gelu_tanh(double x) { return std::tanh(std::sqrt(2 * std::numbers::inv_pi) * (x + kCubic * x * x * x)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double biased(View x, View bias, std::size_t i) { return x[i] + (bias.empty() ? 0 : bias[i % bias.size()]); }

}  // namespace

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return 0.5 * x * (1 + gelu_tanh(x));
    case Activation::silu:
      return x * sigmoid(x);
  }
  return 0;
}

double activation_slope(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::gelu: {
      const double t = gelu_tanh(x);
      const double inner_slope = std::sqrt(2 * std::numbers::inv_pi) * (1 + 3 * kCubic * x * x);
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope;
    }
    case Activation::silu: {
      const double s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
  }
  return 0;
}

Values activate(Activation activation, View x, View bias) {
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = activate(activation, biased(x, bias, i));
  return y;
}

Values activate_backward(Activation activation, View x, View dy, View bias) {
  FORETRAIN_CHECK(x.size() == dy.size());
  Values dx(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) dx[i] = dy[i] * activation_slope(activation, biased(x, bias, i));
  return dx;
}

Values gated(Activation activation, std::int64_t cols, View gate_up) {
  const std::size_t width = size_of(cols);
  FORETRAIN_CHECK(gate_up.size() % (2 * width) == 0);
  Values y(gate_up.size() / 2);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t gate = i / width * 2 * width + i % width;
    y[i] = activate(activation, gate_up[gate]) * gate_up[gate + width];
  }
  return y;
}

Values gated_backward(Activation activation, std::int64_t cols, View gate_up, View dy) {
  const std::size_t width = size_of(cols);
  FORETRAIN_CHECK(gate_up.size() == 2 * dy.size() && dy.size() % width == 0);
  Values gradient(gate_up.size());
  for (std::size_t i = 0; i < dy.size(); ++i) {
    const std::size_t gate = i / width * 2 * width + i % width;
    gradient[gate] = dy[i] * activation_slope(activation, gate_up[gate]) * gate_up[gate + width];
    gradient[gate + width] = dy[i] * activate(activation, gate_up[gate]);
  }
  return gradient;
}

}  // namespace foretrain::reference
