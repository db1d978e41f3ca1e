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
  enum class Reduce { none, input };

  [[nodiscard]] std::int64_t qkv_width() const;
  [[nodiscard]] Bytes hidden_bytes() const;
  Op& push(Kernel k);
  void memory(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols);
  Op& collective(CollectiveOp op, Bytes size, GroupKind group = GroupKind::tensor);
  void norm(std::int64_t rows, bool backward);
  /// All passes over the logits as one kernel with their bytes together.
  void cross_entropy(bool backward, std::int64_t vocabulary);
  void rope(bool backward);
  void residual(bool bias, bool backward);
  void activation(bool backward);
  /// Before a column-parallel layer under sequence parallelism: [s/t, b, h] -> [s, b, h].
  void gather_sequence();
  /// After a row-parallel layer: sum over the tensor group.
  void reduce_forward();
  /// Gradient of reduce_forward: an all-gather under sequence parallelism, nothing otherwise.
  void scatter_gradient_in();
  /// A tensor-parallel collective of the hidden states. Pipelined with its GEMM (tensor_overlap), only the first of
  /// `tensor` chunks is waited for, and the others run beside the GEMM. Source: Transformer Engine userbuffers (split
  /// overlap).
  void tensor_collective(CollectiveOp op);
  /// y = x W^T; a bias is added in the GEMM's epilogue or by the fused kernel after it.
  void linear_forward(std::int64_t in, std::int64_t out);
  /// dx = dy W and dW = dy^T x. With Reduce::input the sum of dx over the tensor group runs beside the dW GEMM, where
  /// the framework overlaps them; under sequence parallelism x is gathered again beside the dx GEMM.
  void linear_backward(std::int64_t in, std::int64_t out, Reduce reduce);
  void join();

  // attention_ops.cc
  [[nodiscard]] Attention flash(bool backward) const;
  /// Context parallelism: ring exchanges the keys and values of the other ranks beside the attention kernels (the
  /// backward pass also returns their gradients); all-gather gathers them first; Ulysses exchanges heads for sequence
  /// before and after.
  void context_exchange(bool backward);
  void attention_forward();
  void attention_backward();
  void softmax(bool backward, std::int64_t rows, std::int64_t cols);
  void transposes(int count);
  void join_if_context();

  const ModelSpec& model_;
  const BlockShape& shape_;
  const Software& software_;
  const FrameworkSpec& framework_;
  DType gemm_, dtype_;
  std::int64_t tokens_, norm_tokens_, heads_, kv_heads_, ffn_;
  bool dropout_;
  TimeLabel label_ = TimeLabel::compute;
  std::vector<Op> ops_;
};

}  // namespace foretrain
