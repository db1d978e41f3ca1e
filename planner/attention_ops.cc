// Attention: fused or as separate kernels, and what context parallelism exchanges around it.
#include "planner/op_builder.h"

namespace foretrain {

Attention OpBuilder::flash(bool backward) const {
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

void OpBuilder::context_exchange(bool backward) {
  if (shape_.context == 1) return;
  const double tokens = static_cast<double>(tokens_);
  const double width = bytes_per_element(dtype_) * static_cast<double>(model_.head_dim);
  const double kv_heads = static_cast<double>(framework_.repeats_kv_heads ? heads_ : kv_heads_);
  const Bytes kv = tokens * 2 * kv_heads * width * bytes;
  const double others = static_cast<double>(shape_.context - 1);
  switch (shape_.context_kind) {
    case ContextKind::ring:
      collective(CollectiveOp::send_recv,
                 others * kv * (backward ? 1 + framework_.ring_gradient_bytes / bytes_per_element(dtype_) : 1),
                 GroupKind::context)
          .beside = true;
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

void OpBuilder::ring_attention(bool backward) {
  const RingBytes& moved = backward ? framework_.ring_backward : framework_.ring_forward;
  const std::int64_t query = heads_ * model_.head_dim;
  const std::int64_t key = 2 * (framework_.repeats_kv_heads ? heads_ : kv_heads_) * model_.head_dim;
  const auto join_results = [&](double per_query, double per_key) {
    MemoryKernel k = memory_kernel(MemoryOp::add, backward, tokens_, query, dtype_);
    const double elements = static_cast<double>(tokens_);
    const Bytes all = elements * (per_query * static_cast<double>(query) + per_key * static_cast<double>(key)) * bytes;
    k.read = 2.0 / 3 * all;  // two read, one written
    k.written = 1.0 / 3 * all;
    push(k);
  };
  Attention block = flash(backward);
  block.seq_kv = block.seq_q;
  push(block);
  join_results(moved.query_once, moved.key_once + moved.key_step);
  block.causal = false;
  block.seq_kv = std::max<std::int64_t>(1, block.seq_q / 2);
  for (std::int64_t i = 1; i < shape_.context; ++i) {
    push(block);
    join_results(moved.query_step, moved.key_step);
  }
}

void OpBuilder::unpad(bool backward) {
  if (!framework_.unpads_attention) return;
  const std::int64_t width = heads_ * model_.head_dim;
  const auto scattered = [&](double tensors) {  // torch.gather and scatter_ with an index for each element
    MemoryKernel k = memory_kernel(MemoryOp::copy, backward, tokens_, width, dtype_);
    k.read = tensors * k.read;
    k.written = tensors * k.written;
    k.vectorised = false;
    push(k);
  };
  scattered(4);                          // q, k, v and the output, or their gradients
  const int cleared = backward ? 3 : 1;  // what is scattered into is cleared first
  for (int i = 0; i < cleared; ++i) memory(MemoryOp::zero, false, tokens_, width);
  if (backward)  // gradients of q, k and v are joined into one tensor
    memory(MemoryOp::copy, false, tokens_, qkv_width());
}

void OpBuilder::attention_forward() {
  if (software_.attention == AttentionKind::flash) {
    context_exchange(false);
    if (shape_.context > 1 && shape_.context_kind == ContextKind::ring) {
      ring_attention(false);
    } else {
      push(flash(false)).joins = shape_.context == 1;
    }
    join_if_context();
    unpad(false);
    return;
  }
  const std::int64_t s = shape_.sequence_length;
  const std::int64_t rows = shape_.micro_batch * heads_;
  push(Gemm{.batch = rows,
            .m = s,
            .n = s,
            .k = model_.head_dim,
            .dtype = dtype_ == DType::fp32 ? gemm_ : dtype_,
            .output = dtype_});
  softmax(false, rows * s, s);
  if (dropout_) memory(MemoryOp::dropout, false, rows * s, s);
  push(Gemm{.batch = rows,
            .m = s,
            .n = model_.head_dim,
            .k = s,
            .dtype = dtype_ == DType::fp32 ? gemm_ : dtype_,
            .output = dtype_,
            .layout = GemmLayout::nn});
  // Queries, keys and values are read where the projection left them; the context is put back in order of tokens.
  if (framework_.attention_transposes) transposes(1);
}

void OpBuilder::attention_backward() {
  if (software_.attention == AttentionKind::flash) {
    context_exchange(true);
    if (shape_.context > 1 && shape_.context_kind == ContextKind::ring) {
      ring_attention(true);
    } else {
      push(flash(true)).joins = shape_.context == 1;
    }
    join_if_context();
    unpad(true);
    return;
  }
  const std::int64_t s = shape_.sequence_length;
  const std::int64_t rows = shape_.micro_batch * heads_;
  const std::int64_t d = model_.head_dim;
  const Gemm scores{
      .batch = rows, .m = s, .n = s, .k = d, .dtype = dtype_ == DType::fp32 ? gemm_ : dtype_, .output = dtype_};
  Gemm values{.batch = rows, .m = s, .n = d, .k = s, .dtype = dtype_ == DType::fp32 ? gemm_ : dtype_, .output = dtype_};
  push(scores);  // dP = dO V^T
  values.layout = GemmLayout::nt;
  push(values);  // dV = P^T dO
  if (dropout_) memory(MemoryOp::dropout, true, rows * s, s);
  softmax(true, rows * s, s);
  values.layout = GemmLayout::nn;
  push(values);  // dQ = dS K
  values.layout = GemmLayout::nt;
  push(values);                                        // dK = dS^T Q
  if (framework_.attention_transposes) transposes(3);  // dQ, dK and dV become one tensor
}

void OpBuilder::softmax(bool backward, std::int64_t rows, std::int64_t cols) {
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

void OpBuilder::transposes(int count) {
  for (int i = 0; i < count; ++i) memory(MemoryOp::transpose, false, tokens_, heads_ * model_.head_dim);
}

void OpBuilder::join_if_context() {
  if (shape_.context > 1) join();
}

}  // namespace foretrain
