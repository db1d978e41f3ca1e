#include "validate/parallel/reference_layers.h"

#include <algorithm>
#include <cmath>

namespace foretrain::parallel {
namespace {

constexpr double kNormEpsilon = 1e-5;
const double kGeluScale = std::sqrt(2 / 3.14159265358979323846);
constexpr double kGeluCubic = 0.044715;  // arXiv 1606.08415

/// Probabilities of one head [query, key], before dropout.
Matrix probabilities(const ReferenceAttention& options, const Matrix& q, const Matrix& k, std::int64_t head) {
  const std::int64_t width = q.columns / options.heads;
  const std::int64_t kv_head = head * options.kv_heads / options.heads;
  Matrix p(q.rows, k.rows);
  for (std::int64_t i = 0; i < q.rows; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j <= i; ++j) {
      double score = 0;
      for (std::int64_t d = 0; d < width; ++d) score += q(i, head * width + d) * k(j, kv_head * width + d);
      p(i, j) = std::exp(score / std::sqrt(static_cast<double>(width)));
      sum += p(i, j);
    }
    for (std::int64_t j = 0; j <= i; ++j) p(i, j) /= sum;
  }
  return p;
}

}  // namespace

Matrix operator+(const Matrix& a, const Matrix& b) {
  Matrix sum = a;
  for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += b.values[i];
  return sum;
}

Matrix reference_linear(const Matrix& x, const Matrix& w, const Matrix* bias) {
  Matrix y(x.rows, w.rows);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    for (std::int64_t o = 0; o < y.columns; ++o) {
      y(r, o) = bias != nullptr ? (*bias)(0, o) : 0;
      for (std::int64_t i = 0; i < x.columns; ++i) y(r, o) += x(r, i) * w(o, i);
    }
  }
  return y;
}

Matrix reference_linear_backward(const Matrix& x, const Matrix& w, const Matrix& dy, Matrix& dw, Matrix* dbias) {
  Matrix dx(x.rows, x.columns);
  for (std::int64_t r = 0; r < dy.rows; ++r) {
    for (std::int64_t o = 0; o < dy.columns; ++o) {
      if (dbias != nullptr) (*dbias)(0, o) += dy(r, o);
      for (std::int64_t i = 0; i < x.columns; ++i) {
        dw(o, i) += dy(r, o) * x(r, i);
        dx(r, i) += dy(r, o) * w(o, i);
      }
    }
  }
  return dx;
}

Matrix reference_norm(const Matrix& x, const Matrix& weight, const Matrix* bias) {
  const auto n = static_cast<double>(x.columns);
  Matrix y(x.rows, x.columns);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    double mean = 0;
    double square = 0;
    for (std::int64_t c = 0; c < x.columns; ++c) mean += bias != nullptr ? x(r, c) / n : 0;
    for (std::int64_t c = 0; c < x.columns; ++c) square += (x(r, c) - mean) * (x(r, c) - mean) / n;
    for (std::int64_t c = 0; c < x.columns; ++c) {
      const double shift = bias != nullptr ? (*bias)(0, c) : 0;
      y(r, c) = (x(r, c) - mean) / std::sqrt(square + kNormEpsilon) * weight(0, c) + shift;
    }
  }
  return y;
}

Matrix reference_norm_backward(const Matrix& x, const Matrix& weight, const Matrix& dy, Matrix& dweight,
                               Matrix* dbias) {
  // dz_i / dx_j = (delta_ij - [layer] 1 / n - z_i z_j / n) / deviation, summed out term by term.
  const auto n = static_cast<double>(x.columns);
  Matrix ones(1, x.columns);
  std::fill(ones.values.begin(), ones.values.end(), 1.0);
  Matrix zeros(1, x.columns);
  const Matrix z = reference_norm(x, ones, dbias != nullptr ? &zeros : nullptr);
  Matrix dx(x.rows, x.columns);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    double mean = 0;
    double square = 0;
    for (std::int64_t c = 0; c < x.columns; ++c) mean += dbias != nullptr ? x(r, c) / n : 0;
    for (std::int64_t c = 0; c < x.columns; ++c) square += (x(r, c) - mean) * (x(r, c) - mean) / n;
    const double deviation = std::sqrt(square + kNormEpsilon);
    for (std::int64_t i = 0; i < x.columns; ++i) {
      dweight(0, i) += dy(r, i) * z(r, i);
      if (dbias != nullptr) (*dbias)(0, i) += dy(r, i);
      for (std::int64_t j = 0; j < x.columns; ++j) {
        const double same = i == j ? 1 : 0;
        const double through_mean = dbias != nullptr ? 1 / n : 0;
        dx(r, j) += dy(r, i) * weight(0, i) * (same - through_mean - z(r, i) * z(r, j) / n) / deviation;
      }
    }
  }
  return dx;
}

Matrix reference_activation(const Matrix* gate, const Matrix& up) {
  Matrix y(up.rows, up.columns);
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    const double x = up.values[i];
    if (gate != nullptr) {
      const double g = gate->values[i];
      y.values[i] = g / (1 + std::exp(-g)) * x;
    } else {
      y.values[i] = x / 2 * (1 + std::tanh(kGeluScale * (x + kGeluCubic * std::pow(x, 3))));
    }
  }
  return y;
}

void reference_activation_backward(const Matrix* gate, const Matrix& up, const Matrix& dy, Matrix* dgate, Matrix& dup) {
  for (std::size_t i = 0; i < up.values.size(); ++i) {
    const double x = up.values[i];
    if (gate != nullptr) {
      const double g = gate->values[i];
      const double s = 1 / (1 + std::exp(-g));
      dup.values[i] = dy.values[i] * g * s;
      dgate->values[i] = dy.values[i] * x * (s + g * s * (1 - s));
    } else {
      const double t = std::tanh(kGeluScale * (x + kGeluCubic * std::pow(x, 3)));
      const double slope = (1 - t * t) * kGeluScale * (1 + 3 * kGeluCubic * x * x);
      dup.values[i] = dy.values[i] * ((1 + t) / 2 + x / 2 * slope);
    }
  }
}

Matrix reference_rotate(const Matrix& x, std::int64_t head_dim, int direction) {
  Matrix y(x.rows, x.columns);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t c = 0; c < x.columns; ++c) {
      const std::int64_t in_head = c % head_dim;
      const std::int64_t pair = in_head % (head_dim / 2);
      const bool lower = in_head < head_dim / 2;
      const double angle = direction * static_cast<double>(r) /
                           std::pow(10000.0, 2 * static_cast<double>(pair) / static_cast<double>(head_dim));
      const double partner = x(r, lower ? c + head_dim / 2 : c - head_dim / 2);
      y(r, c) = x(r, c) * std::cos(angle) + (lower ? -partner : partner) * std::sin(angle);
    }
  }
  return y;
}

Matrix reference_attention(const ReferenceAttention& options, const Matrix& q, const Matrix& k, const Matrix& v) {
  const std::int64_t width = q.columns / options.heads;
  Matrix out(q.rows, q.columns);
  for (std::int64_t h = 0; h < options.heads; ++h) {
    const Matrix p = probabilities(options, q, k, h);
    const std::int64_t kv_head = h * options.kv_heads / options.heads;
    for (std::int64_t i = 0; i < q.rows; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) {
        for (std::int64_t d = 0; d < width; ++d)
          out(i, h * width + d) += p(i, j) * options.keep(h, i, j) * v(j, kv_head * width + d);
      }
    }
  }
  return out;
}

void reference_attention_backward(const ReferenceAttention& options, const Matrix& q, const Matrix& k, const Matrix& v,
                                  const Matrix& dout, Matrix& dq, Matrix& dk, Matrix& dv) {
  const std::int64_t width = q.columns / options.heads;
  for (std::int64_t h = 0; h < options.heads; ++h) {
    const Matrix p = probabilities(options, q, k, h);
    const std::int64_t kv_head = h * options.kv_heads / options.heads;
    for (std::int64_t i = 0; i < q.rows; ++i) {
      std::vector<double> dp(static_cast<std::size_t>(i + 1));
      double mean_dp = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        double& d_probability = dp[static_cast<std::size_t>(j)];
        for (std::int64_t d = 0; d < width; ++d) {
          d_probability += dout(i, h * width + d) * v(j, kv_head * width + d) * options.keep(h, i, j);
          dv(j, kv_head * width + d) += dout(i, h * width + d) * p(i, j) * options.keep(h, i, j);
        }
        mean_dp += p(i, j) * d_probability;
      }
      for (std::int64_t j = 0; j <= i; ++j) {
        const double ds = p(i, j) * (dp[static_cast<std::size_t>(j)] - mean_dp) / std::sqrt(static_cast<double>(width));
        for (std::int64_t d = 0; d < width; ++d) {
          dq(i, h * width + d) += ds * k(j, kv_head * width + d);
          dk(j, kv_head * width + d) += ds * q(i, h * width + d);
        }
      }
    }
  }
}

double reference_cross_entropy(const Matrix& logits, const std::vector<int>& targets, Matrix& dlogits) {
  double loss = 0;
  dlogits = Matrix(logits.rows, logits.columns);
  for (std::int64_t r = 0; r < logits.rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < logits.columns; ++c) sum += std::exp(logits(r, c));
    const int target = targets[static_cast<std::size_t>(r)];
    loss += std::log(sum) - logits(r, target);
    for (std::int64_t c = 0; c < logits.columns; ++c)
      dlogits(r, c) = std::exp(logits(r, c)) / sum - (c == target ? 1 : 0);
  }
  return loss;
}

}  // namespace foretrain::parallel
