#include "planner/layer_ops.h"

#include <algorithm>

namespace foretrain {
namespace {

/// Builds the operations of a block, with the shapes of one rank at hand.
class Builder {
 public:
  Builder(const ModelSpec& model, const BlockShape& shape, const Software& software, Precision precision,
          const FrameworkSpec& framework)
      : model_(model),
        shape_(shape),
        software_(software),
        framework_(framework),
        gemm_(gemm_dtype(precision)),
        dtype_(activation_dtype(precision)),
        tokens_(shape.micro_batch * shape.sequence_length / shape.context),
        norm_tokens_(shape.sequence_parallel ? std::max<std::int64_t>(1, tokens_ / shape.tensor) : tokens_),
        heads_(std::max<std::int64_t>(1, model.heads / shape.tensor)),
        kv_heads_(std::max<std::int64_t>(1, model.kv_heads / shape.tensor)),
        ffn_(model.ffn_hidden / shape.tensor),
        dropout_(model.dropout > 0 || framework.dropout > 0) {}

  std::vector<Op> take() { return std::move(ops_); }
  void label(TimeLabel l) { label_ = l; }

  void layer_forward() {
    norm(norm_tokens_, false);
    gather_sequence();
    linear_forward(model_.hidden, qkv_width(), model_.qkv_bias);
    if (model_.position == PositionKind::rope) rope(false);
    attention_forward();
    linear_forward(heads_ * model_.head_dim, model_.hidden, false);
    reduce_forward();
    residual(model_.attention_out_bias, false);
    if (!model_.parallel_block) {
      norm(norm_tokens_, false);
      gather_sequence();
    }
    linear_forward(model_.hidden, (model_.gated_mlp ? 2 : 1) * ffn_, false);
    activation(false);
    linear_forward(ffn_, model_.hidden, false);
    reduce_forward();
    residual(model_.mlp_bias, false);
  }

  /// What selective recomputation repeats of a layer before its backward pass, where that is more than the attention
  /// core.
  void selective_recompute() {
    if (framework_.selective == SelectiveKind::attention_core) return;
    const bool keeps_half = framework_.selective == SelectiveKind::alternate_matmuls;
    const std::int64_t fc1 = (model_.gated_mlp ? 2 : 1) * ffn_;
    label(TimeLabel::recompute);
    norm(norm_tokens_, false);
    if (keeps_half) linear_forward(model_.hidden, kv_heads_ * model_.head_dim, false);  // of q, k, v the second
    if (model_.position == PositionKind::rope) rope(false);
    if (!keeps_half) attention_forward();
    linear_forward(heads_ * model_.head_dim, model_.hidden, false);
    reduce_forward();
    memory(MemoryOp::add, false, norm_tokens_, model_.hidden);
    norm(norm_tokens_, false);
    gather_sequence();
    linear_forward(model_.hidden, keeps_half && model_.gated_mlp ? ffn_ : fc1, false);
    activation(false);
    label(TimeLabel::compute);
  }

  void layer_backward() {
    if (shape_.recompute == Recompute::selective) selective_recompute();
    residual(model_.mlp_bias, true);
    scatter_gradient_in();
    linear_backward(ffn_, model_.hidden, Reduce::none);
    activation(true);
    linear_backward(model_.hidden, (model_.gated_mlp ? 2 : 1) * ffn_,
                    model_.parallel_block ? Reduce::none : Reduce::input);
    if (!model_.parallel_block) norm(norm_tokens_, true);
    residual(model_.attention_out_bias, true);
    scatter_gradient_in();
    linear_backward(heads_ * model_.head_dim, model_.hidden, Reduce::none);
    if (shape_.recompute == Recompute::selective && framework_.selective == SelectiveKind::attention_core &&
        software_.attention == AttentionKind::unfused) {
      label(TimeLabel::recompute);
      attention_forward();
      label(TimeLabel::compute);
    }
    attention_backward();
    if (model_.position == PositionKind::rope) rope(true);
    linear_backward(model_.hidden, qkv_width(), Reduce::input);
    norm(norm_tokens_, true);
  }

  void embedding_forward() {
    memory(MemoryOp::embedding, false, tokens_, model_.hidden);
    if (model_.position == PositionKind::learned) memory(MemoryOp::add, false, tokens_, model_.hidden);
    reduce_forward();
    if (dropout_) memory(MemoryOp::dropout, false, norm_tokens_, model_.hidden);
  }
  void embedding_backward() {
    if (dropout_) memory(MemoryOp::dropout, true, norm_tokens_, model_.hidden);
    gather_sequence();
    memory(MemoryOp::embedding, true, tokens_, model_.hidden);
  }

  void head_forward() {
    const std::int64_t vocabulary = vocabulary_per_rank(model_.vocab, shape_.tensor);
    norm(norm_tokens_, false);
    gather_sequence();
    linear_forward(model_.hidden, vocabulary, false);
    cross_entropy(false, vocabulary);
    if (shape_.tensor > 1) {  // maximum, predicted logit, sum of exponentials: one fp32 number a token each
      for (int i = 0; i < 3; ++i) collective(CollectiveOp::all_reduce, static_cast<double>(tokens_) * 4 * bytes);
    }
  }
  void head_backward() {
    const std::int64_t vocabulary = vocabulary_per_rank(model_.vocab, shape_.tensor);
    cross_entropy(true, vocabulary);
    linear_backward(model_.hidden, vocabulary, Reduce::input);
    norm(norm_tokens_, true);
  }

 private:
  enum class Reduce { none, input };

  [[nodiscard]] std::int64_t qkv_width() const { return (heads_ + 2 * kv_heads_) * model_.head_dim; }
  [[nodiscard]] Bytes hidden_bytes() const {
    return static_cast<double>(tokens_ * model_.hidden) * bytes_per_element(dtype_) * bytes;
  }

  Op& push(Kernel k) {
    ops_.push_back({.work = std::move(k), .label = label_});
    return ops_.back();
  }
  void memory(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols) {
    push(memory_kernel(op, backward, rows, cols, dtype_));
  }
  Op& collective(CollectiveOp op, Bytes size, GroupKind group = GroupKind::tensor) {
    const TimeLabel label = group == GroupKind::tensor ? TimeLabel::tensor_exposed : TimeLabel::context_exposed;
    ops_.push_back({.work = CollectiveCall{op, size, group}, .label = label});
    return ops_.back();
  }

  void norm(std::int64_t rows, bool backward) {
    memory(model_.norm == NormKind::rms ? MemoryOp::rms_norm : MemoryOp::layer_norm, backward, rows, model_.hidden);
  }
  /// All passes over the logits as one kernel with their bytes together.
  void cross_entropy(bool backward, std::int64_t vocabulary) {
    MemoryKernel k = memory_kernel(MemoryOp::cross_entropy, backward, tokens_, vocabulary, dtype_);
    const double logits = static_cast<double>(tokens_) * static_cast<double>(vocabulary);
    k.read = logits * (backward ? framework_.cross_entropy_backward_read : framework_.cross_entropy_read) * bytes;
    k.written =
        logits * (backward ? framework_.cross_entropy_backward_written : framework_.cross_entropy_written) * bytes;
    push(k);
  }
  void rope(bool backward) { memory(MemoryOp::rope, backward, tokens_, (heads_ + kv_heads_) * model_.head_dim); }

  void residual(bool bias, bool backward) {
    if (backward) {  // the sum passes its gradient through; the dropout mask and the bias need a pass
      if (dropout_) memory(MemoryOp::dropout, true, norm_tokens_, model_.hidden);
      memory(MemoryOp::add, false, norm_tokens_, model_.hidden);
      return;
    }
    if (framework_.fused_bias_dropout_add && (dropout_ || bias)) {
      memory(MemoryOp::bias_dropout_add, false, norm_tokens_, model_.hidden);
      return;
    }
    if (dropout_) memory(MemoryOp::dropout, false, norm_tokens_, model_.hidden);
    memory(MemoryOp::add, false, norm_tokens_, model_.hidden);
  }

  void activation(bool backward) {
    if (model_.gated_mlp) {
      memory(MemoryOp::swiglu, backward, tokens_, ffn_);
    } else if (model_.mlp_bias && framework_.fused_bias_activation) {
      memory(MemoryOp::bias_gelu, backward, tokens_, ffn_);
    } else {
      memory(model_.activation == Activation::relu ? MemoryOp::relu : MemoryOp::gelu, backward, tokens_, ffn_);
    }
  }

  /// Before a column-parallel layer under sequence parallelism: [s/t, b, h] -> [s, b, h].
  void gather_sequence() {
    if (!shape_.sequence_parallel || shape_.tensor == 1) return;
    tensor_collective(CollectiveOp::all_gather);
  }
  /// After a row-parallel layer: sum over the tensor group.
  void reduce_forward() {
    if (shape_.tensor == 1) return;
    tensor_collective(shape_.sequence_parallel ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce);
  }
  /// Gradient of reduce_forward: an all-gather under sequence parallelism, nothing otherwise.
  void scatter_gradient_in() {
    if (shape_.sequence_parallel && shape_.tensor > 1) tensor_collective(CollectiveOp::all_gather);
  }
  /// A tensor-parallel collective of the hidden states. Pipelined with its GEMM (tensor_overlap), only the first of
  /// `tensor` chunks is waited for, and the others run beside the GEMM. Source: Transformer Engine userbuffers (split
  /// overlap).
  void tensor_collective(CollectiveOp op) {
    if (!shape_.tensor_overlap) {
      collective(op, hidden_bytes());
      return;
    }
    const double chunks = static_cast<double>(shape_.tensor);
    collective(op, hidden_bytes() / chunks);
    collective(op, hidden_bytes() * ((chunks - 1) / chunks)).beside = true;
  }

  void linear_forward(std::int64_t in, std::int64_t out, bool bias) {
    push(Gemm{.m = tokens_, .n = out, .k = in, .dtype = gemm_, .output = dtype_, .layout = GemmLayout::tn}).joins =
        true;
    (void)bias;  // added in the GEMM's epilogue, or by the fused kernel after it
  }

  /// dx = dy W and dW = dy^T x. With Reduce::input the sum of dx over the tensor group runs beside the dW GEMM, where
  /// the framework overlaps them; under sequence parallelism x is gathered again beside the dx GEMM.
  void linear_backward(std::int64_t in, std::int64_t out, Reduce reduce) {
    const bool parallel = shape_.tensor > 1 && reduce == Reduce::input;
    if (parallel && shape_.sequence_parallel) {
      collective(CollectiveOp::all_gather, hidden_bytes()).beside = framework_.tensor_backward_overlap;
    }
    Op& input_gradient =
        push(Gemm{.m = tokens_, .n = in, .k = out, .dtype = gemm_, .output = dtype_, .layout = GemmLayout::nn});
    input_gradient.joins = !parallel;
    const Gemm weight_gradient{.m = out,
                               .n = in,
                               .k = tokens_,
                               .dtype = gemm_,
                               .output = framework_.fused_weight_gradient ? DType::fp32 : dtype_,
                               .accumulate = framework_.fused_weight_gradient,
                               .layout = GemmLayout::nt};
    if (!parallel) {
      push(weight_gradient);
      return;
    }
    const CollectiveOp op = shape_.sequence_parallel ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce;
    if (!framework_.tensor_backward_overlap) {
      push(weight_gradient);
      collective(op, hidden_bytes());
      return;
    }
    collective(op, hidden_bytes()).beside = true;
    push(weight_gradient);
    join();
  }
  void join() { ops_.push_back({.work = Join{}, .joins = true}); }

  // --- attention -------------------------------------------------------------------------------

  [[nodiscard]] Attention flash(bool backward) const {
    Attention a{.batch = shape_.micro_batch,
                .seq_q = shape_.sequence_length / shape_.context,
                .seq_kv = shape_.sequence_length,
                .heads_q = heads_,
                .heads_kv = kv_heads_,
                .d_qk = model_.head_dim,
                .d_v = model_.head_dim,
                .causal = true,
                .backward = backward,
                .dtype = dtype_};
    if (shape_.context_kind == ContextKind::ulysses) {
      a.seq_q = shape_.sequence_length;
      a.heads_q = std::max<std::int64_t>(1, heads_ / shape_.context);
      a.heads_kv = std::max<std::int64_t>(1, kv_heads_ / shape_.context);
    }
    return a;
  }

  /// Context parallelism: ring exchanges the keys and values of the other ranks beside the attention kernels (the
  /// backward pass also returns their gradients); all-gather gathers them first; Ulysses exchanges heads for sequence
  /// before and after.
  void context_exchange(bool backward) {
    if (shape_.context == 1) return;
    const double tokens = static_cast<double>(tokens_);
    const double width = bytes_per_element(dtype_) * static_cast<double>(model_.head_dim);
    const Bytes kv = tokens * 2 * static_cast<double>(kv_heads_) * width * bytes;
    const double others = static_cast<double>(shape_.context - 1);
    switch (shape_.context_kind) {
      case ContextKind::ring:
        collective(CollectiveOp::send_recv, others * kv * (backward ? 2.0 : 1.0), GroupKind::context).beside = true;
        break;
      case ContextKind::all_gather:
        collective(CollectiveOp::all_gather, static_cast<double>(shape_.context) * kv, GroupKind::context);
        if (backward)
          collective(CollectiveOp::reduce_scatter, static_cast<double>(shape_.context) * kv, GroupKind::context);
        break;
      case ContextKind::ulysses: {
        const Bytes q = tokens * static_cast<double>(heads_) * width * bytes;
        collective(CollectiveOp::all_to_all, q + kv, GroupKind::context);
        collective(CollectiveOp::all_to_all, q, GroupKind::context);
        break;
      }
    }
  }

  void attention_forward() {
    if (software_.attention == AttentionKind::flash) {
      context_exchange(false);
      push(flash(false)).joins = shape_.context == 1;
      join_if_context();
      return;
    }
    const std::int64_t s = shape_.sequence_length;
    const std::int64_t rows = shape_.micro_batch * heads_;
    if (framework_.attention_transposes) transposes(3);
    push(Gemm{.batch = rows, .m = s, .n = s, .k = model_.head_dim, .dtype = gemm_, .output = dtype_});
    softmax(false, rows * s, s);
    if (dropout_) memory(MemoryOp::dropout, false, rows * s, s);
    push(Gemm{.batch = rows,
              .m = s,
              .n = model_.head_dim,
              .k = s,
              .dtype = gemm_,
              .output = dtype_,
              .layout = GemmLayout::nn});
    if (framework_.attention_transposes) transposes(1);
  }
  void attention_backward() {
    if (software_.attention == AttentionKind::flash) {
      context_exchange(true);
      push(flash(true)).joins = shape_.context == 1;
      join_if_context();
      return;
    }
    const std::int64_t s = shape_.sequence_length;
    const std::int64_t rows = shape_.micro_batch * heads_;
    const std::int64_t d = model_.head_dim;
    if (framework_.attention_transposes) transposes(1);
    push(Gemm{.batch = rows, .m = s, .n = s, .k = d, .dtype = gemm_, .output = dtype_});  // dP = dO V^T
    push(Gemm{
        .batch = rows, .m = s, .n = d, .k = s, .dtype = gemm_, .output = dtype_, .layout = GemmLayout::nt});  // dV =
                                                                                                              // P^T dO
    if (dropout_) memory(MemoryOp::dropout, true, rows * s, s);
    softmax(true, rows * s, s);
    push(Gemm{
        .batch = rows, .m = s, .n = d, .k = s, .dtype = gemm_, .output = dtype_, .layout = GemmLayout::nn});  // dQ = dS
                                                                                                              // K
    push(Gemm{
        .batch = rows, .m = s, .n = d, .k = s, .dtype = gemm_, .output = dtype_, .layout = GemmLayout::nt});  // dK =
                                                                                                              // dS^T Q
    if (framework_.attention_transposes) transposes(3);
  }
  void softmax(bool backward, std::int64_t rows, std::int64_t cols) {
    if (!framework_.fused_softmax && !backward) {  // scale, mask, softmax apart
      memory(MemoryOp::scale, false, rows, cols);
      memory(MemoryOp::add, false, rows, cols);
    }
    MemoryKernel k = memory_kernel(framework_.fused_softmax ? MemoryOp::masked_softmax : MemoryOp::softmax, backward,
                                   rows, cols, dtype_);
    // The fused causal kernel reads only what lies below the diagonal. Source: NVIDIA/apex
    // scaled_upper_triang_masked_softmax.h.
    if (framework_.fused_softmax) k.read = 0.5 * k.read;
    push(k);
    if (!framework_.fused_softmax && backward) memory(MemoryOp::scale, false, rows, cols);
  }
  void transposes(int count) {
    for (int i = 0; i < count; ++i) memory(MemoryOp::transpose, false, tokens_, heads_ * model_.head_dim);
  }
  void join_if_context() {
    if (shape_.context > 1) join();
  }

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

}  // namespace

std::vector<Op> block_ops(BlockKind kind, const ModelSpec& model, const BlockShape& shape, const Software& software,
                          Precision precision, const FrameworkSpec& framework) {
  Builder builder(model, shape, software, precision, framework);
  switch (kind) {
    case BlockKind::layer_forward:
      builder.layer_forward();
      break;
    case BlockKind::layer_backward:
      if (shape.recompute == Recompute::full) {
        builder.label(TimeLabel::recompute);
        builder.layer_forward();
        builder.label(TimeLabel::compute);
      }
      builder.layer_backward();
      break;
    case BlockKind::embedding_forward:
      builder.embedding_forward();
      break;
    case BlockKind::embedding_backward:
      builder.embedding_backward();
      break;
    case BlockKind::head_forward:
      builder.head_forward();
      break;
    case BlockKind::head_backward:
      builder.head_backward();
      break;
  }
  return builder.take();
}

}  // namespace foretrain
