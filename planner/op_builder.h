/// Builds the operations of a block, with the shapes of one rank at hand: what layer_ops.cc and attention_ops.cc share.
#pragma once

#include <algorithm>
#include <vector>

#include "planner/layer_ops.h"

namespace foretrain {

/// One block at a time: call what it consists of, then take() the operations.
class OpBuilder {
 public:
  OpBuilder(const ModelSpec& model, const BlockShape& shape, const Software& software, Precision precision,
            const FrameworkSpec& framework);
  std::vector<Op> take();
  void label(TimeLabel l);
  void layer_forward();
  /// What selective recomputation repeats of a layer before its backward pass, where that is more than the attention
  /// core.
  void selective_recompute();
  void layer_backward();
  void embedding_forward();
  void embedding_backward();
  void head_forward();
  void head_backward();

 private:
  [[nodiscard]] bool sequence_split() const;  ///< norm regions hold a share of the sequence
  [[nodiscard]] bool overlaps() const;
  [[nodiscard]] std::int64_t fc1_width() const;
  [[nodiscard]] std::int64_t qkv_width() const;
  [[nodiscard]] Bytes hidden_bytes() const;
  [[nodiscard]] Bytes sent_bytes() const;  ///< the same in the format that sequence parallelism gathers
  Op& push(Kernel k);
  void memory(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols);
  Op& collective(CollectiveOp op, Bytes size, GroupKind group = GroupKind::tensor);
  void norm(std::int64_t rows, bool backward);
  /// A norm whose output a column-parallel layer takes: it may write that layer's format.
  void norm_of_linear();
  /// The kernel that makes a GEMM's operand from a tensor [rows, cols]; nothing in 16 bits.
  void operand(const OperandKernel& kernel, std::int64_t rows, std::int64_t cols);
  /// The block keeps its GEMMs in the format of activations: the LM head in every framework.
  void stay_wide();
  /// All passes over the logits as one kernel with their bytes together.
  void cross_entropy(bool backward, std::int64_t vocabulary);
  void rope(bool backward);
  void residual(bool bias, bool backward);
  void activation(bool backward);
  /// The sum of `rows` gradients [cols] where a kernel of its own makes it.
  void bias_gradient(std::int64_t rows, std::int64_t cols);
  /// Before a column-parallel layer under sequence parallelism: [s/t, b, h] -> [s, b, h].
  void gather_sequence();
  /// After a row-parallel layer: sum over the tensor group.
  void reduce_forward();
  /// y = x W^T; a bias is added in the GEMM's epilogue or by the fused kernel after it.
  void linear_forward(std::int64_t in, std::int64_t out);
  /// Column-parallel layer: the gather of its input, and the GEMM. Row-parallel layer: the GEMM, and the sum of its
  /// output. With tensor_overlap the two are pipelined in one chunk per rank. Source: Transformer Engine userbuffers.
  void column_forward(std::int64_t in, std::int64_t out);
  void row_forward(std::int64_t in, std::int64_t out);
  /// dx = dy W and dW = dy^T x. Row-parallel: dy is gathered under sequence parallelism. Column-parallel: x is gathered
  /// again beside the dx GEMM under sequence parallelism, and the sum of dx runs beside the dW GEMM, where the
  /// framework overlaps them; `reduces`: whether dx is summed here.
  void row_backward(std::int64_t in, std::int64_t out);
  void column_backward(std::int64_t in, std::int64_t out, bool reduces);
  void gathered_in_chunks(const Gemm& whole);
  void in_chunks(const Gemm& whole);
  [[nodiscard]] Gemm gemm(std::int64_t m, std::int64_t n, std::int64_t k, GemmLayout layout) const;
  [[nodiscard]] Gemm gradient_gemm(Gemm g) const;  ///< with its sums kept as the framework keeps gradients
  [[nodiscard]] Gemm weight_gradient(std::int64_t in, std::int64_t out) const;
  void join();

  // attention_ops.cc
  [[nodiscard]] Attention flash(bool backward) const;
  /// Context parallelism: ring exchanges the keys and values of the other ranks beside the attention kernels (the
  /// backward pass also returns their gradients); all-gather gathers them first; Ulysses exchanges heads for sequence
  /// before and after.
  void context_exchange(bool backward);
  /// Ring attention, a block of keys after the other: the block on the diagonal, causal, then the others, of each half
  /// (sequences are dealt out so that all ranks have the same work); and the kernels that join their results.
  void ring_attention(bool backward);
  /// Copies that gather tokens before attention and scatter them after it, where the trainer always does so.
  void unpad(bool backward);
  void attention_forward();
  void attention_backward();
  void softmax(bool backward, std::int64_t rows, std::int64_t cols);
  void transposes(int count);
  void join_if_context();

  const ModelSpec& model_;
  const BlockShape& shape_;
  const Software& software_;
  const FrameworkSpec& framework_;
  QuantisationSpec quantisation_;
  DType gemm_, dtype_;
  std::int64_t tokens_, norm_tokens_, heads_, kv_heads_, ffn_;
  bool dropout_;
  TimeLabel label_ = TimeLabel::compute;
  std::vector<Op> ops_;
};

}  // namespace foretrain
