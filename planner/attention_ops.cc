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

void OpBuilder::attention_forward() {
  if (software_.attention == AttentionKind::flash) {
    context_exchange(false);
    push(flash(false)).joins = shape_.context == 1;
    join_if_context();
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
    push(flash(true)).joins = shape_.context == 1;
    join_if_context();
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
