#include "planner/layer_ops.h"

#include "planner/op_builder.h"

namespace foretrain {

OpBuilder::OpBuilder(const ModelSpec& model, const BlockShape& shape, const Software& software, Precision precision,
                     const FrameworkSpec& framework)
    : model_(model),
      shape_(shape),
      software_(software),
      framework_(framework),
      quantisation_(framework.quantisation),
      gemm_(gemm_dtype(precision)),
      dtype_(activation_dtype(precision)),
      tokens_(shape.micro_batch * shape.sequence_length / shape.context),
      norm_tokens_(shape.sequence_parallel ? std::max<std::int64_t>(1, tokens_ / shape.tensor) : tokens_),
      heads_(std::max<std::int64_t>(1, model.heads / shape.tensor)),
      kv_heads_(std::max<std::int64_t>(1, model.kv_heads / shape.tensor)),
      ffn_(model.ffn_hidden / shape.tensor),
      dropout_(model.dropout > 0 || framework.dropout > 0) {}

std::vector<Op> OpBuilder::take() { return std::move(ops_); }

void OpBuilder::label(TimeLabel l) { label_ = l; }

void OpBuilder::layer_forward() {
  norm_of_linear();
  column_forward(model_.hidden, qkv_width());
  if (model_.qkv_bias && framework_.bias_kernels) memory(MemoryOp::scale, false, tokens_, qkv_width());  // adds it
  if (model_.position == PositionKind::rope) rope(false);
  attention_forward();
  row_forward(heads_ * model_.head_dim, model_.hidden);
  residual(model_.attention_out_bias, false);
  if (model_.parallel_block) {
    linear_forward(model_.hidden, fc1_width());  // reads what attention's projections read
  } else {
    norm_of_linear();
    column_forward(model_.hidden, fc1_width());
  }
  activation(false);
  row_forward(ffn_, model_.hidden);
  residual(model_.mlp_bias, false);
}

void OpBuilder::selective_recompute() {
  if (framework_.selective == SelectiveKind::attention_core) return;
  const bool keeps_half = framework_.selective == SelectiveKind::alternate_matmuls;
  label(TimeLabel::recompute);
  norm_of_linear();
  if (keeps_half) linear_forward(model_.hidden, kv_heads_ * model_.head_dim);  // of q, k, v the second
  if (model_.position == PositionKind::rope) rope(false);
  if (!keeps_half) attention_forward();
  row_forward(heads_ * model_.head_dim, model_.hidden);
  memory(MemoryOp::add, false, norm_tokens_, model_.hidden);
  norm_of_linear();
  column_forward(model_.hidden, keeps_half && model_.gated_mlp ? ffn_ : fc1_width());
  activation(false);
  label(TimeLabel::compute);
}

void OpBuilder::layer_backward() {
  if (shape_.recompute == Recompute::selective) selective_recompute();
  residual(model_.mlp_bias, true);
  row_backward(ffn_, model_.hidden);
  activation(true);
  if (model_.mlp_bias) bias_gradient(tokens_, fc1_width());
  column_backward(model_.hidden, fc1_width(), !model_.parallel_block);
  if (!model_.parallel_block) norm(norm_tokens_, true);
  residual(model_.attention_out_bias, true);
  row_backward(heads_ * model_.head_dim, model_.hidden);
  if (shape_.recompute == Recompute::selective && framework_.selective == SelectiveKind::attention_core &&
      software_.attention == AttentionKind::unfused) {
    label(TimeLabel::recompute);
    attention_forward();
    label(TimeLabel::compute);
  }
  attention_backward();
  if (model_.position == PositionKind::rope) rope(true);
  if (model_.qkv_bias) bias_gradient(tokens_, qkv_width());
  column_backward(model_.hidden, qkv_width(), true);
  norm(norm_tokens_, true);
}

void OpBuilder::embedding_forward() {
  memory(MemoryOp::embedding, false, tokens_, model_.hidden);
  if (model_.position == PositionKind::learned) memory(MemoryOp::add, false, tokens_, model_.hidden);
  reduce_forward();
  if (dropout_) memory(MemoryOp::dropout, false, norm_tokens_, model_.hidden);
}

void OpBuilder::embedding_backward() {
  if (dropout_) memory(MemoryOp::dropout, true, norm_tokens_, model_.hidden);
  gather_sequence();
  memory(MemoryOp::embedding, true, tokens_, model_.hidden);
}

void OpBuilder::head_forward() {
  stay_wide();
  const std::int64_t vocabulary = vocabulary_per_rank(model_.vocab, shape_.tensor);
  norm(norm_tokens_, false);
  gather_sequence();  // Transformer Engine's overlap does not cover the LM head
  linear_forward(model_.hidden, vocabulary);
  cross_entropy(false, vocabulary);
  if (framework_.metric_read + framework_.metric_written > 0) {
    MemoryKernel k = memory_kernel(MemoryOp::cross_entropy, false, tokens_, vocabulary, dtype_);
    const double logits = static_cast<double>(tokens_) * static_cast<double>(vocabulary);
    k.read = logits * framework_.metric_read * bytes;
    k.written = logits * framework_.metric_written * bytes;
    push(k);
  }
  if (shape_.tensor > 1) {  // maximum, predicted logit, sum of exponentials: one fp32 number a token each
    for (int i = 0; i < 3; ++i) collective(CollectiveOp::all_reduce, static_cast<double>(tokens_) * 4 * bytes);
  }
}

void OpBuilder::head_backward() {
  stay_wide();
  const std::int64_t vocabulary = vocabulary_per_rank(model_.vocab, shape_.tensor);
  cross_entropy(true, vocabulary);
  column_backward(model_.hidden, vocabulary, true);
  norm(norm_tokens_, true);
}

bool OpBuilder::sequence_split() const { return shape_.sequence_parallel && shape_.tensor > 1; }
bool OpBuilder::overlaps() const { return shape_.tensor_overlap && sequence_split(); }
std::int64_t OpBuilder::fc1_width() const { return (model_.gated_mlp ? 2 : 1) * ffn_; }
std::int64_t OpBuilder::qkv_width() const { return (heads_ + 2 * kv_heads_) * model_.head_dim; }

Bytes OpBuilder::hidden_bytes() const {
  return static_cast<double>(tokens_ * model_.hidden) * bytes_per_element(dtype_) * bytes;
}

Bytes OpBuilder::sent_bytes() const {
  return quantisation_.used ? static_cast<double>(tokens_ * model_.hidden) * quantisation_.sent * bytes
                            : hidden_bytes();
}

Op& OpBuilder::push(Kernel k) {
  ops_.push_back({.work = std::move(k), .label = label_});
  return ops_.back();
}

void OpBuilder::memory(MemoryOp op, bool backward, std::int64_t rows, std::int64_t cols) {
  push(memory_kernel(op, backward, rows, cols, dtype_));
}

Op& OpBuilder::collective(CollectiveOp op, Bytes size, GroupKind group) {
  const TimeLabel label = group == GroupKind::tensor ? TimeLabel::tensor_exposed : TimeLabel::context_exposed;
  ops_.push_back({.work = CollectiveCall{op, size, group}, .label = label});
  return ops_.back();
}

void OpBuilder::norm(std::int64_t rows, bool backward) {
  MemoryKernel k = memory_kernel(model_.norm == NormKind::rms ? MemoryOp::rms_norm : MemoryOp::layer_norm, backward,
                                 rows, model_.hidden, dtype_);
  // PyTorch's own and torch.compile's backward kernels take 1.9 and 1.7 times the time of cuDNN's on H200 (2.1 and 1.8
  // on GB200): as kernels that load an element at a time.
  k.vectorised = !backward || framework_.fused_norms;
  push(k);
}

void OpBuilder::norm_of_linear() {
  norm(norm_tokens_, false);
  if (!quantisation_.used) return;
  auto& kernel = std::get<MemoryKernel>(std::get<Kernel>(ops_.back().work));
  kernel.written *= quantisation_.norm_written / bytes_per_element(dtype_);
  operand(quantisation_.norm_input, norm_tokens_, model_.hidden);
}

void OpBuilder::operand(const OperandKernel& kernel, std::int64_t rows, std::int64_t cols) {
  if (!quantisation_.used || kernel.read + kernel.written <= 0) return;
  MemoryKernel k = memory_kernel(MemoryOp::cast, false, rows, cols, dtype_);
  const double elements = static_cast<double>(rows) * static_cast<double>(cols);
  k.read = elements * kernel.read * bytes;
  k.written = elements * kernel.written * bytes;
  k.vectorised = kernel.vectorised;
  push(k);
}

void OpBuilder::stay_wide() {
  if (!quantisation_.used) return;
  quantisation_ = {};
  gemm_ = dtype_;
}

void OpBuilder::cross_entropy(bool backward, std::int64_t vocabulary) {
  MemoryKernel k = memory_kernel(MemoryOp::cross_entropy, backward, tokens_, vocabulary, dtype_);
  const double logits = static_cast<double>(tokens_) * static_cast<double>(vocabulary);
  k.read = logits * (backward ? framework_.cross_entropy_backward_read : framework_.cross_entropy_read) * bytes;
  k.written =
      logits * (backward ? framework_.cross_entropy_backward_written : framework_.cross_entropy_written) * bytes;
  push(k);
}

void OpBuilder::rope(bool backward) {
  memory(MemoryOp::rope, backward, tokens_, (heads_ + kv_heads_) * model_.head_dim);
}

void OpBuilder::residual(bool bias, bool backward) {
  if (backward) {  // the sum passes its gradient through; the dropout mask and the bias need a pass
    if (dropout_) memory(MemoryOp::dropout, true, norm_tokens_, model_.hidden);
    if (bias) bias_gradient(norm_tokens_, model_.hidden);
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

void OpBuilder::bias_gradient(std::int64_t rows, std::int64_t cols) {
  if (framework_.bias_kernels) memory(MemoryOp::grad_norm, false, rows, cols);  // reads all, writes one row
}

void OpBuilder::activation(bool backward) {
  if (model_.gated_mlp) {
    memory(MemoryOp::swiglu, backward, tokens_, ffn_);
  } else if (model_.mlp_bias && framework_.fused_bias_activation) {
    memory(MemoryOp::bias_gelu, backward, tokens_, ffn_);
  } else {
    memory(model_.activation == Activation::relu ? MemoryOp::relu : MemoryOp::gelu, backward, tokens_, ffn_);
  }
}

void OpBuilder::gather_sequence() {
  if (sequence_split()) collective(CollectiveOp::all_gather, sent_bytes());
}

void OpBuilder::reduce_forward() {
  if (shape_.tensor == 1) return;
  collective(shape_.sequence_parallel ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce, hidden_bytes());
}

void OpBuilder::linear_forward(std::int64_t in, std::int64_t out) { push(gemm(tokens_, out, in, GemmLayout::tn)); }

void OpBuilder::column_forward(std::int64_t in, std::int64_t out) {
  operand(quantisation_.weight, out, in);
  if (overlaps()) {
    gathered_in_chunks(gemm(tokens_, out, in, GemmLayout::tn));
    return;
  }
  gather_sequence();
  linear_forward(in, out);
}

void OpBuilder::row_forward(std::int64_t in, std::int64_t out) {
  operand(quantisation_.weight, out, in);
  operand(quantisation_.input, tokens_, in);
  if (!overlaps()) {
    linear_forward(in, out);
    reduce_forward();
    return;
  }
  const double chunks = static_cast<double>(shape_.tensor);
  collective(CollectiveOp::reduce_scatter, hidden_bytes() * ((chunks - 1) / chunks)).beside = true;
  in_chunks(gemm(tokens_, out, in, GemmLayout::tn));
  join();
  collective(CollectiveOp::reduce_scatter, hidden_bytes() / chunks);
}

void OpBuilder::row_backward(std::int64_t in, std::int64_t out) {
  const Gemm input_gradient = gradient_gemm(gemm(tokens_, in, out, GemmLayout::nn));
  if (sequence_split()) {  // cast before it is gathered; a transposed copy of the whole after
    OperandKernel cast = quantisation_.gradient;
    cast.written = std::max(0.0, cast.written - quantisation_.transpose.written);
    operand(cast, norm_tokens_, out);
  } else {
    operand(quantisation_.gradient, tokens_, out);
  }
  if (overlaps()) {
    gathered_in_chunks(input_gradient);
  } else {
    gather_sequence();
    push(input_gradient);
  }
  operand(quantisation_.result, tokens_, in);
  if (sequence_split()) operand(quantisation_.transpose, tokens_, out);
  operand(quantisation_.saved_input, tokens_, in);
  push(weight_gradient(in, out));
  operand(quantisation_.result, out, in);
}

void OpBuilder::column_backward(std::int64_t in, std::int64_t out, bool reduces) {
  const Gemm input_gradient = gradient_gemm(gemm(tokens_, in, out, GemmLayout::nn));
  operand(quantisation_.gradient, tokens_, out);
  if (shape_.tensor == 1 || !reduces) {
    push(input_gradient);
    operand(quantisation_.result, tokens_, in);
    operand(quantisation_.saved_norm_input, tokens_, in);
    push(weight_gradient(in, out));
    operand(quantisation_.result, out, in);
    return;
  }
  const bool beside = framework_.tensor_backward_overlap;
  const CollectiveOp reduce = shape_.sequence_parallel ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce;
  if (shape_.sequence_parallel) collective(CollectiveOp::all_gather, sent_bytes()).beside = beside;
  push(input_gradient);
  operand(quantisation_.result, tokens_, in);
  if (beside) collective(reduce, hidden_bytes()).beside = true;
  operand(quantisation_.saved_norm_input, tokens_, in);
  push(weight_gradient(in, out));
  operand(quantisation_.result, out, in);
  if (beside) {
    join();
  } else {
    collective(reduce, hidden_bytes());
  }
}

/// Transformer Engine's ring exchange: a GEMM in one chunk per rank, the first on this rank's own rows, each of the
/// others when its rows have come in.
void OpBuilder::gathered_in_chunks(const Gemm& whole) {
  collective(CollectiveOp::all_gather, sent_bytes()).beside = true;
  in_chunks(whole);
  join();
}

void OpBuilder::in_chunks(const Gemm& whole) {
  Gemm chunk = whole;
  chunk.m = std::max<std::int64_t>(1, whole.m / shape_.tensor);
  for (std::int64_t i = 0; i < shape_.tensor; ++i) push(chunk);
}

Gemm OpBuilder::gemm(std::int64_t m, std::int64_t n, std::int64_t k, GemmLayout layout) const {
  return {.m = m, .n = n, .k = k, .dtype = gemm_, .output = dtype_, .layout = layout};
}

Gemm OpBuilder::gradient_gemm(Gemm g) const {
  g.promotes = quantisation_.promotes;
  return g;
}

/// dW [out, in] = dy^T x, added to fp32 main gradients where the framework fuses that.
Gemm OpBuilder::weight_gradient(std::int64_t in, std::int64_t out) const {
  Gemm g = gradient_gemm(gemm(out, in, tokens_, GemmLayout::nt));
  if (framework_.fused_weight_gradient) {
    g.output = DType::fp32;
    g.accumulate = true;
  }
  return g;
}

void OpBuilder::join() { ops_.push_back({.work = Join{}, .joins = true}); }

std::vector<Op> block_ops(BlockKind kind, const ModelSpec& model, const BlockShape& shape, const Software& software,
                          Precision precision, const FrameworkSpec& framework) {
  OpBuilder builder(model, shape, software, precision, framework);
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
