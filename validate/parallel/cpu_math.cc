#include "validate/parallel/cpu_math.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "validate/parallel/cpu_attention.h"

namespace foretrain::parallel {
namespace {

constexpr float kNormEpsilon = 1e-5F;
/// sqrt(2 / pi) and the cubic coefficient of GeLU's tanh formula (arXiv 1606.08415).
constexpr float kGeluScale = 0.7978845608F;
constexpr float kGeluCubic = 0.044715F;

/// Mean and 1 / deviation of a row; rms has no mean.
struct RowStatistics {
  float mean = 0;
  float inverse = 0;
};

RowStatistics statistics(NormKind kind, const float* row, std::int64_t n) {
  float mean = 0;
  if (kind == NormKind::layer) {
    for (std::int64_t c = 0; c < n; ++c) mean += row[c];
    mean /= static_cast<float>(n);
  }
  float square = 0;
  for (std::int64_t c = 0; c < n; ++c) square += (row[c] - mean) * (row[c] - mean);
  return {mean, 1 / std::sqrt(square / static_cast<float>(n) + kNormEpsilon)};
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

class CpuMath final : public Math {
 public:
  Tensor zeros(std::int64_t rows, std::int64_t columns) override {
    const auto memory = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows * columns), 0.0F);
    return {std::shared_ptr<float>(memory, memory->data()), rows, columns};
  }

  Tensor upload(std::int64_t rows, std::int64_t columns, std::span<const float> values) override {
    FORETRAIN_CHECK(static_cast<std::int64_t>(values.size()) == rows * columns);
    Tensor x = zeros(rows, columns);
    std::copy(values.begin(), values.end(), x.data());
    return x;
  }

  std::vector<float> download(const Tensor& x) override { return {x.data(), x.data() + x.size()}; }

  void fill(float value, const Tensor& x) override { std::fill_n(x.data(), x.size(), value); }

  void copy(const Tensor& from, const Tensor& to) override {
    FORETRAIN_CHECK(from.size() == to.size());
    std::copy_n(from.data(), from.size(), to.data());
  }

  void add(const Tensor& x, float factor, const Tensor& y) override {
    FORETRAIN_CHECK(x.size() == y.size());
    for (std::int64_t i = 0; i < x.size(); ++i) y.data()[i] += factor * x.data()[i];
  }

  void multiply(Product product, const Tensor& a, const Tensor& b, bool accumulate, const Tensor& c) override {
    const std::int64_t inner = product == Product::tn ? a.rows() : a.columns();
    FORETRAIN_CHECK(c.rows() == (product == Product::tn ? a.columns() : a.rows()));
    FORETRAIN_CHECK(c.columns() == (product == Product::nt ? b.rows() : b.columns()));
    FORETRAIN_CHECK(inner == (product == Product::nt ? b.columns() : b.rows()));
    const std::int64_t a_row = product == Product::tn ? 1 : a.columns();
    const std::int64_t a_inner = product == Product::tn ? a.columns() : 1;
    const std::int64_t b_inner = product == Product::nt ? 1 : b.columns();
    const std::int64_t b_column = product == Product::nt ? b.columns() : 1;
    for (std::int64_t i = 0; i < c.rows(); ++i) {
      for (std::int64_t j = 0; j < c.columns(); ++j) {
        float sum = 0;
        for (std::int64_t l = 0; l < inner; ++l)
          sum += a.data()[i * a_row + l * a_inner] * b.data()[l * b_inner + j * b_column];
        float& out = c.data()[i * c.columns() + j];
        out = accumulate ? out + sum : sum;
      }
    }
  }

  void add_row(const Tensor& row, const Tensor& y) override {
    FORETRAIN_CHECK(row.size() == y.columns());
    for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] += row.data()[i % y.columns()];
  }

  void sum_rows(const Tensor& x, const Tensor& total) override {
    FORETRAIN_CHECK(total.size() == x.columns());
    for (std::int64_t i = 0; i < x.size(); ++i) total.data()[i % x.columns()] += x.data()[i];
  }

  Tensor norm(NormKind kind, const Tensor& x, const Tensor& weight, const Tensor& bias) override {
    FORETRAIN_CHECK(weight.size() == x.columns());
    Tensor y = zeros(x.rows(), x.columns());
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      const float* const in = x.data() + r * x.columns();
      const RowStatistics row = statistics(kind, in, x.columns());
      for (std::int64_t c = 0; c < x.columns(); ++c) {
        const float shift = kind == NormKind::layer ? bias.data()[c] : 0;
        y.data()[r * x.columns() + c] = (in[c] - row.mean) * row.inverse * weight.data()[c] + shift;
      }
    }
    return y;
  }

  /// With z = (x - mean) / deviation and dz = dy weight: dx = (dz - mean(dz) - z mean(dz z)) / deviation; rms has no
  /// mean(dz).
  Tensor norm_backward(NormKind kind, const Tensor& x, const Tensor& weight, const Tensor& dy, const Tensor& dweight,
                       const Tensor& dbias) override {
    const std::int64_t n = x.columns();
    Tensor dx = zeros(x.rows(), n);
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      const float* const in = x.data() + r * n;
      const float* const dout = dy.data() + r * n;
      const RowStatistics row = statistics(kind, in, n);
      float mean_dz = 0;
      float mean_dz_z = 0;
      for (std::int64_t c = 0; c < n; ++c) {
        const float z = (in[c] - row.mean) * row.inverse;
        mean_dz += dout[c] * weight.data()[c] / static_cast<float>(n);
        mean_dz_z += dout[c] * weight.data()[c] * z / static_cast<float>(n);
        dweight.data()[c] += dout[c] * z;
        if (kind == NormKind::layer) dbias.data()[c] += dout[c];
      }
      if (kind == NormKind::rms) mean_dz = 0;
      for (std::int64_t c = 0; c < n; ++c) {
        const float z = (in[c] - row.mean) * row.inverse;
        dx.data()[r * n + c] = (dout[c] * weight.data()[c] - mean_dz - z * mean_dz_z) * row.inverse;
      }
    }
    return dx;
  }

  Tensor gelu(const Tensor& x) override {
    Tensor y = zeros(x.rows(), x.columns());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const float a = x.data()[i];
      y.data()[i] = 0.5F * a * (1 + std::tanh(kGeluScale * (a + kGeluCubic * a * a * a)));
    }
    return y;
  }

  Tensor gelu_backward(const Tensor& x, const Tensor& dy) override {
    Tensor dx = zeros(x.rows(), x.columns());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const float a = x.data()[i];
      const float t = std::tanh(kGeluScale * (a + kGeluCubic * a * a * a));
      const float inner = kGeluScale * (1 + 3 * kGeluCubic * a * a);
      dx.data()[i] = dy.data()[i] * 0.5F * ((1 + t) + a * (1 - t * t) * inner);
    }
    return dx;
  }

  Tensor swiglu(const Tensor& gate, const Tensor& up) override {
    Tensor y = zeros(gate.rows(), gate.columns());
    for (std::int64_t i = 0; i < gate.size(); ++i)
      y.data()[i] = gate.data()[i] * sigmoid(gate.data()[i]) * up.data()[i];
    return y;
  }

  void swiglu_backward(const Tensor& gate, const Tensor& up, const Tensor& dy, const Tensor& dgate,
                       const Tensor& dup) override {
    for (std::int64_t i = 0; i < gate.size(); ++i) {
      const float g = gate.data()[i];
      const float s = sigmoid(g);
      const float dout = dy.data()[i];
      dgate.data()[i] = dout * up.data()[i] * s * (1 + g * (1 - s));
      dup.data()[i] = dout * g * s;
    }
  }

  void rotate(Rotation rotation, std::int64_t batch, std::int64_t head_dim, std::span<const int> positions,
              const Tensor& x) override {
    const std::int64_t half = head_dim / 2;
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      const double position = positions[static_cast<std::size_t>(r / batch)];
      for (std::int64_t c = 0; c < x.columns(); c += head_dim) {
        float* const head = x.data() + r * x.columns() + c;
        for (std::int64_t i = 0; i < half; ++i) {
          const double angle =
              position * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
          const auto cosine = static_cast<float>(std::cos(angle));
          const auto sine = static_cast<float>(rotation == Rotation::forward ? std::sin(angle) : -std::sin(angle));
          const float first = head[i];
          const float second = head[i + half];
          head[i] = first * cosine - second * sine;
          head[i + half] = second * cosine + first * sine;
        }
      }
    }
  }

  AttentionResult attention(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v) override {
    AttentionResult result{zeros(q.rows(), q.columns()), zeros(q.rows(), block.heads)};
    attention_on_cpu(block, q, k, v, result);
    return result;
  }

  void merge_attention(const AttentionBlock& block, const AttentionResult& more, const AttentionResult& sum) override {
    merge_attention_on_cpu(block, more, sum);
  }

  void attention_backward(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionResult& whole, const Tensor& dout, const Tensor& dq, const Tensor& dk,
                          const Tensor& dv) override {
    attention_backward_on_cpu(block, q, k, v, whole, dout, dq, dk, dv);
  }

  void dropout(float drop, const Draw& draw, const Tensor& x) override {
    if (drop == 0) return;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      float& value = x.data()[i];
      value = uniform(draw, static_cast<std::uint64_t>(i)) < drop ? 0 : value / (1 - drop);
    }
  }

  Tensor lookup(const Tensor& table, std::span<const int> ids, int first_id) override {
    Tensor y = zeros(static_cast<std::int64_t>(ids.size()), table.columns());
    for (std::int64_t r = 0; r < y.rows(); ++r) {
      const int row = ids[static_cast<std::size_t>(r)] - first_id;
      if (row < 0 || row >= table.rows()) continue;
      std::copy_n(table.data() + row * table.columns(), table.columns(), y.data() + r * table.columns());
    }
    return y;
  }

  void lookup_backward(const Tensor& dy, std::span<const int> ids, int first_id, const Tensor& dtable) override {
    for (std::int64_t r = 0; r < dy.rows(); ++r) {
      const int row = ids[static_cast<std::size_t>(r)] - first_id;
      if (row < 0 || row >= dtable.rows()) continue;
      for (std::int64_t c = 0; c < dy.columns(); ++c)
        dtable.data()[row * dy.columns() + c] += dy.data()[r * dy.columns() + c];
    }
  }

  Tensor row_max(const Tensor& logits) override {
    Tensor max = zeros(logits.rows(), 1);
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
      const float* const row = logits.data() + r * logits.columns();
      max.data()[r] = *std::max_element(row, row + logits.columns());
    }
    return max;
  }

  Tensor softmax_sums(const Tensor& logits, const Tensor& max, std::span<const int> targets, int first_id) override {
    Tensor sums = zeros(logits.rows(), 2);
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
      const float* const row = logits.data() + r * logits.columns();
      for (std::int64_t c = 0; c < logits.columns(); ++c) sums.data()[2 * r] += std::exp(row[c] - max.data()[r]);
      const int target = targets[static_cast<std::size_t>(r)] - first_id;
      if (target >= 0 && target < logits.columns()) sums.data()[2 * r + 1] = row[target] - max.data()[r];
    }
    return sums;
  }

  Tensor cross_entropy_backward(const Tensor& logits, const Tensor& max, const Tensor& sums,
                                std::span<const int> targets, int first_id, float factor) override {
    Tensor dlogits = zeros(logits.rows(), logits.columns());
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
      const std::int64_t target = targets[static_cast<std::size_t>(r)] - first_id;
      for (std::int64_t c = 0; c < logits.columns(); ++c) {
        const std::int64_t i = r * logits.columns() + c;
        const float probability = std::exp(logits.data()[i] - max.data()[r]) / sums.data()[2 * r];
        dlogits.data()[i] = (probability - (c == target ? 1.0F : 0.0F)) * factor;
      }
    }
    return dlogits;
  }

  Tensor split_columns(const Tensor& x, std::int64_t parts) override { return permute_columns(x, parts, true); }
  Tensor join_columns(const Tensor& x, std::int64_t parts) override { return permute_columns(x, parts, false); }

  void adam(const AdamOptions& options, std::int64_t step, const Tensor& gradient, const Tensor& mean,
            const Tensor& square, const Tensor& weight) override {
    const auto power = [&](float beta) {
      return static_cast<float>(1 - std::pow(double{beta}, static_cast<double>(step)));
    };
    const float mean_correction = power(options.beta1);
    const float square_correction = power(options.beta2);
    for (std::int64_t i = 0; i < weight.size(); ++i) {
      const float g = gradient.data()[i];
      float& m = mean.data()[i];
      float& v = square.data()[i];
      float& w = weight.data()[i];
      m = options.beta1 * m + (1 - options.beta1) * g;
      v = options.beta2 * v + (1 - options.beta2) * g * g;
      const float change = m / mean_correction / (std::sqrt(v / square_correction) + options.epsilon);
      w -= options.learning_rate * (change + options.weight_decay * w);
    }
  }

 private:
  Tensor permute_columns(const Tensor& x, std::int64_t parts, bool split) {
    FORETRAIN_CHECK((split ? x.columns() : x.rows()) % parts == 0);
    const std::int64_t rows = split ? x.rows() : x.rows() / parts;
    const std::int64_t width = split ? x.columns() / parts : x.columns();
    Tensor y = split ? zeros(rows * parts, width) : zeros(rows, width * parts);
    for (std::int64_t p = 0; p < parts; ++p) {
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t joined = (r * parts + p) * width;
        const std::int64_t apart = (p * rows + r) * width;
        std::copy_n(x.data() + (split ? joined : apart), width, y.data() + (split ? apart : joined));
      }
    }
    return y;
  }
};

}  // namespace

std::unique_ptr<Math> cpu_math() { return std::make_unique<CpuMath>(); }

}  // namespace foretrain::parallel
