/// The layers of a transformer over one sequence on one machine, in double precision and plain loops: what the parallel
/// layers are held against. Shares no code with them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace foretrain::parallel {

/// Row-major.
struct Matrix {
  Matrix() = default;
  Matrix(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count * column_count)) {}
  double& operator()(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  double operator()(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * columns + c)]; }

  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> values;
};

Matrix operator+(const Matrix& a, const Matrix& b);

/// y[r][o] = sum over i of x[r][i] w[o][i], + bias[0][o] when there is one.
Matrix reference_linear(const Matrix& x, const Matrix& w, const Matrix* bias);
/// Gives dx; adds to dw and dbias.
Matrix reference_linear_backward(const Matrix& x, const Matrix& w, const Matrix& dy, Matrix& dw, Matrix* dbias);

/// LayerNorm with a bias, RMSNorm without; epsilon 1e-5.
Matrix reference_norm(const Matrix& x, const Matrix& weight, const Matrix* bias);
Matrix reference_norm_backward(const Matrix& x, const Matrix& weight, const Matrix& dy, Matrix& dweight, Matrix* dbias);

/// gelu(up) by the tanh formula when `gate` is nullptr, otherwise silu(gate) * up.
Matrix reference_activation(const Matrix* gate, const Matrix& up);
void reference_activation_backward(const Matrix* gate, const Matrix& up, const Matrix& dy, Matrix* dgate, Matrix& dup);

/// RoPE over heads of `head_dim` in halves; row r is position r. direction -1 turns back.
Matrix reference_rotate(const Matrix& x, std::int64_t head_dim, int direction);

struct ReferenceAttention {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  /// What probability (head, query, key) is multiplied by: 1, or dropout's 0 or 1 / (1 - drop).
  std::function<double(std::int64_t, std::int64_t, std::int64_t)> keep;
};
/// Causal, scores / sqrt(head_dim).
Matrix reference_attention(const ReferenceAttention& options, const Matrix& q, const Matrix& k, const Matrix& v);
void reference_attention_backward(const ReferenceAttention& options, const Matrix& q, const Matrix& k, const Matrix& v,
                                  const Matrix& dout, Matrix& dq, Matrix& dk, Matrix& dv);

/// Sum over rows of -log softmax(logits)[target]; dlogits is its gradient.
double reference_cross_entropy(const Matrix& logits, const std::vector<int>& targets, Matrix& dlogits);

}  // namespace foretrain::parallel
