/// The tensor operations that the parallel layers are made of: an interface, so that the same layers run on the CPU and
/// on GPUs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "validate/parallel/random_streams.h"
#include "validate/parallel/tensor.h"

namespace foretrain::parallel {

/// Which operand is transposed. A linear layer with weight [out, in] is Y = X W^T (nt), dX = dY W (nn), dW = dY^T X
/// (tn).
enum class Product : std::uint8_t { nt, nn, tn };
enum class NormKind : std::uint8_t { layer, rms };
enum class Rotation : std::uint8_t { forward, inverse };

/// Tokens lie [position, batch]: row = position number * batch + sequence number. Heads lie side by side in a row.
struct AttentionBlock {
  std::int64_t batch = 1;
  std::int64_t heads = 1;     ///< of the queries
  std::int64_t kv_heads = 1;  ///< divides heads; query head h reads head h / (heads / kv_heads)
  std::int64_t head_dim = 1;
  std::span<const int> query_positions;  ///< in the whole sequence, by position number: a query sees keys up to its own
  std::span<const int> key_positions;
  std::int64_t sequence = 1;  ///< length of the whole one
  /// Mask of the probabilities: element ((sequence number * heads + head) * sequence + query position) * sequence + key
  /// position is dropped when uniform(draw, element) < drop.
  float drop = 0;
  Draw draw;
};

struct AttentionResult {
  Tensor out;      ///< [rows, heads * head_dim]
  Tensor log_sum;  ///< [rows, heads]: log of the sum of exp(score), -infinity where no key is seen
};

struct AdamOptions {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float epsilon = 1e-8F;
  float weight_decay = 0;
};

/// Calls take effect in order. Every function that adds to its last argument says so; the others overwrite.
class Math {
 public:
  virtual ~Math() = default;

  virtual Tensor zeros(std::int64_t rows, std::int64_t columns) = 0;
  virtual Tensor upload(std::int64_t rows, std::int64_t columns, std::span<const float> values) = 0;
  virtual std::vector<float> download(const Tensor& x) = 0;
  virtual void fill(float value, const Tensor& x) = 0;
  virtual void copy(const Tensor& from, const Tensor& to) = 0;
  /// y += factor x
  virtual void add(const Tensor& x, float factor, const Tensor& y) = 0;

  /// c = a b, or c += a b, with the operands transposed as `product` says.
  virtual void multiply(Product product, const Tensor& a, const Tensor& b, bool accumulate, const Tensor& c) = 0;
  /// Adds row [1, columns] to each row of y.
  virtual void add_row(const Tensor& row, const Tensor& y) = 0;
  /// Adds the sum of the rows of x to total [1, columns].
  virtual void sum_rows(const Tensor& x, const Tensor& total) = 0;

  /// y = (x - mean) / sqrt(variance + epsilon) weight + bias, or x / sqrt(mean of squares + epsilon) weight; epsilon
  /// 1e-5. `bias` is empty for rms. `backward` gives dx and adds to dweight and dbias.
  virtual Tensor norm(NormKind kind, const Tensor& x, const Tensor& weight, const Tensor& bias) = 0;
  virtual Tensor norm_backward(NormKind kind, const Tensor& x, const Tensor& weight, const Tensor& dy,
                               const Tensor& dweight, const Tensor& dbias) = 0;

  /// GeLU by its tanh formula (Hendrycks and Gimpel, arXiv 1606.08415).
  virtual Tensor gelu(const Tensor& x) = 0;
  virtual Tensor gelu_backward(const Tensor& x, const Tensor& dy) = 0;
  /// gate / (1 + exp(-gate)) * up (Shazeer, arXiv 2002.05202).
  virtual Tensor swiglu(const Tensor& gate, const Tensor& up) = 0;
  virtual void swiglu_backward(const Tensor& gate, const Tensor& up, const Tensor& dy, const Tensor& dgate,
                               const Tensor& dup) = 0;

  /// Turns pairs (i, i + head_dim / 2) of each head by position * 10000^(-2 i / head_dim) (RoPE, arXiv 2104.09864, in
  /// the halves of Llama's implementation); `inverse` is also its backward pass.
  virtual void rotate(Rotation rotation, std::int64_t batch, std::int64_t head_dim, std::span<const int> positions,
                      const Tensor& x) = 0;

  /// Causal softmax attention of q [rows, heads * head_dim] over k and v [key rows, kv_heads * head_dim], scores scaled
  /// by 1 / sqrt(head_dim).
  virtual AttentionResult attention(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v) = 0;
  /// Makes `sum` the attention over the keys of both. Source: online softmax, Milakov and Gimelshein, arXiv 1805.02867.
  virtual void merge_attention(const AttentionBlock& block, const AttentionResult& more,
                               const AttentionResult& sum) = 0;
  /// Adds to dq, dk and dv what these keys contribute; `whole` is the attention over all keys.
  virtual void attention_backward(const AttentionBlock& block, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const AttentionResult& whole, const Tensor& dout, const Tensor& dq, const Tensor& dk,
                                  const Tensor& dv) = 0;

  /// Element i (row-major) becomes 0 when uniform(draw, i) < drop, otherwise itself / (1 - drop). Its own backward
  /// pass.
  virtual void dropout(float drop, const Draw& draw, const Tensor& x) = 0;

  /// Row i is row ids[i] - first_id of `table`, zero where the table has no such row. `backward` adds to dtable.
  virtual Tensor lookup(const Tensor& table, std::span<const int> ids, int first_id) = 0;
  virtual void lookup_backward(const Tensor& dy, std::span<const int> ids, int first_id, const Tensor& dtable) = 0;

  /// [rows, 1]: the largest of each row.
  virtual Tensor row_max(const Tensor& logits) = 0;
  /// [rows, 2]: sum of exp(logit - max), and the target's logit - max, zero where the target lies outside
  /// first_id .. first_id + columns - 1.
  virtual Tensor softmax_sums(const Tensor& logits, const Tensor& max, std::span<const int> targets, int first_id) = 0;
  /// (exp(logit - max) / sum - [target]) factor, with the sums of all ranks.
  virtual Tensor cross_entropy_backward(const Tensor& logits, const Tensor& max, const Tensor& sums,
                                        std::span<const int> targets, int first_id, float factor) = 0;

  /// [rows, parts * width] to `parts` matrices [rows, width] one after the other, and back.
  virtual Tensor split_columns(const Tensor& x, std::int64_t parts) = 0;
  virtual Tensor join_columns(const Tensor& x, std::int64_t parts) = 0;

  /// Adam with bias correction and decoupled weight decay (Kingma and Ba, arXiv 1412.6980, algorithm 1; Loshchilov and
  /// Hutter, arXiv 1711.05101). `step` counts from 1.
  virtual void adam(const AdamOptions& options, std::int64_t step, const Tensor& gradient, const Tensor& mean,
                    const Tensor& square, const Tensor& weight) = 0;
};

}  // namespace foretrain::parallel
