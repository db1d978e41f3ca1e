#include "validate/gpu/run/memory_work.h"

#include <algorithm>
#include <string>

#include "base/spec_error.h"
#include "validate/gpu/kernels/activation.h"
#include "validate/gpu/kernels/dropout.h"
#include "validate/gpu/kernels/elementwise.h"
#include "validate/gpu/kernels/norm.h"
#include "validate/gpu/kernels/optimizer.h"
#include "validate/gpu/kernels/rope.h"
#include "validate/gpu/kernels/softmax.h"
#include "validate/gpu/run/memory_shape.h"

namespace foretrain::gpu {
namespace {

constexpr float kDropProbability = 0.1F;  // as in GPT-2's training; its value does not matter to the time

Bind norm(const WorkShape& s, NormKind kind) {
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Norm n{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
      n.x = s.in(o, s.count);
      n.weight = s.in(o, s.cols);
      if (kind == NormKind::layer) n.bias = s.in(o, s.cols);
      n.narrow_y = s.work.written.base() < 1.5 * static_cast<double>(s.count);
      n.y = n.narrow_y ? o.write(s.count) : s.out(o, s.count);
      if (kind == NormKind::layer) n.mean = row_numbers(o, s.rows);
      n.inverse_deviation = row_numbers(o, s.rows);
      return [n](cudaStream_t stream) { return norm_forward(n, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    NormBackward n{.kind = kind, .accumulate = true, .rows = s.rows, .cols = s.cols, .storage = s.storage};
    std::int64_t workspace = 0;
    if (norm_backward_workspace(n, &workspace) != cudaSuccess) workspace = 64 << 20;  // no GPU: only counted
    n.x = s.in(o, s.count);
    n.dy = s.in(o, s.count);
    n.weight = s.in(o, s.cols);
    n.dx = s.out(o, s.count);
    n.mean = static_cast<const float*>(o.read(Storage::fp32, s.rows));  // finite, as the sums of dweight must stay
    n.inverse_deviation = static_cast<const float*>(o.read(Storage::fp32, s.rows));
    n.dweight = o.state(s.cols);
    if (kind == NormKind::layer) n.dbias = o.state(s.cols);
    n.workspace = static_cast<float*>(o.scratch(workspace));
    // One pass over x and dy; a framework's second one, for dweight, where the graph has it.
    const std::int64_t bytes = s.count * s.width, rest = rest_beyond(s.work, 3.0 * static_cast<double>(bytes));
    const Launch also = copies(n.x, o.write(std::min(rest, bytes)), bytes, rest);
    return [n, also](cudaStream_t stream) {
      const cudaError_t e = norm_backward(n, stream);
      return e == cudaSuccess ? also(stream) : e;
    };
  };
}

Bind softmax(const WorkShape& s, bool causal) {
  // Of attention's scores [batch, heads, query, key]: as many queries as keys.
  const float scale = 1.0F / 8.0F;
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Softmax k{
          .rows = s.rows, .cols = s.cols, .scale = scale, .causal = causal, .queries = s.cols, .storage = s.storage};
      k.x = s.in(o, s.count);
      k.y = s.out(o, s.count);
      return [k](cudaStream_t stream) { return softmax_forward(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    SoftmaxBackward k{
        .rows = s.rows, .cols = s.cols, .scale = scale, .causal = causal, .queries = s.cols, .storage = s.storage};
    k.y = s.in(o, s.count);
    k.dy = s.in(o, s.count);
    k.dx = s.out(o, s.count);
    return [k](cudaStream_t stream) { return softmax_backward(k, stream); };
  };
}

Bind gated(const WorkShape& s, ActivationKind kind) {
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Gated k{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
      k.gate_up = s.in(o, 2 * s.count);
      k.y = s.out(o, s.count);
      return [k](cudaStream_t stream) { return gated_forward(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    GatedBackward k{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
    k.gate_up = s.in(o, 2 * s.count);
    k.dy = s.in(o, s.count);
    k.dgate_up = s.out(o, 2 * s.count);
    return [k](cudaStream_t stream) { return gated_backward(k, stream); };
  };
}

Bind activation(const WorkShape& s, ActivationKind kind, bool bias) {
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Activation k{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
      k.x = s.in(o, s.count);
      if (bias) k.bias = s.in(o, s.cols);
      k.y = s.out(o, s.count);
      return [k](cudaStream_t stream) { return activation_forward(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    ActivationBackward k{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
    k.x = s.in(o, s.count);
    if (bias) k.bias = s.in(o, s.cols);
    k.dy = s.in(o, s.count);
    k.dx = s.out(o, s.count);
    return [k](cudaStream_t stream) { return activation_backward(k, stream); };
  };
}

Bind copied(std::int64_t bytes) {
  return [=](Operands& o) -> Launch {
    const Copy k{o.read(Storage::bf16, (bytes + 1) / 2), o.write(bytes), bytes};
    return [k](cudaStream_t stream) { return copy(k, stream); };
  };
}

/// The gradient of a sum passes through: a copy, as the graph counts it.
Bind added(const WorkShape& s) {
  if (s.work.backward) {
    return [=](Operands& o) -> Launch {
      const Copy k{s.in(o, s.count), s.out(o, s.count), s.count * s.width};
      return [k](cudaStream_t stream) { return copy(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    Add k{.count = s.count, .storage = s.storage};
    k.a = s.in(o, s.count);
    k.b = s.in(o, s.count);
    k.sum = s.out(o, s.count);
    return [k](cudaStream_t stream) { return add(k, stream); };
  };
}

Bind dropped(const WorkShape& s, bool fused) {
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Dropout k{
          .rows = s.rows, .cols = s.cols, .storage = s.storage, .probability = kDropProbability, .stream = {1, 0}};
      k.x = s.in(o, s.count);
      if (fused) k.bias = s.in(o, s.cols);
      if (fused) k.residual = s.in(o, s.count);
      k.y = s.out(o, s.count);
      k.mask = static_cast<std::uint8_t*>(o.write(s.count));
      return [k](cudaStream_t stream) { return dropout_forward(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    DropoutBackward k{.count = s.count, .storage = s.storage, .probability = kDropProbability, .stream = {1, 0}};
    k.dy = s.in(o, s.count);
    k.mask = static_cast<const std::uint8_t*>(o.read(Storage::bf16, (s.count + 1) / 2));  // any bytes
    k.dx = s.out(o, s.count);
    return [k](cudaStream_t stream) { return dropout_backward(k, stream); };
  };
}

Bind rotated(const WorkShape& s) {
  std::int64_t head_dim = s.context.head_dim;
  if (s.cols % head_dim != 0) head_dim = s.cols % 64 == 0 ? 64 : s.cols;
  const std::int64_t positions = std::min(s.context.sequence_length, s.rows);
  return [=](Operands& o) -> Launch {
    Rope k{.tokens = s.rows, .heads = s.cols / head_dim, .head_dim = head_dim, .positions = positions};
    k.backward = s.work.backward;
    k.storage = s.storage;
    k.x = s.in(o, s.count);
    k.y = s.out(o, s.count);
    k.table = static_cast<const float*>(o.read(Storage::fp32, positions * head_dim));
    return [k](cudaStream_t stream) { return rope(k, stream); };
  };
}

/// Between number formats, as many bytes as the graph says: numbers that are read several times (for their maximum
/// first) are read by a sum each time; results as wide as what is read (two narrow layouts of a tensor, a transposed
/// one) are a copy; what is left, scales, too.
Bind converted(const WorkShape& s) {
  const double elements = static_cast<double>(s.count);
  const bool several = s.work.read.base() > elements * static_cast<double>(s.width);  // times, of 16 bits
  const Storage from = s.work.backward ? Storage::fp32 : several ? s.storage : stored(s, s.work.read);
  const Storage to = stored(s, s.work.written);
  const auto passes = static_cast<int>(s.work.read.base() / elements / static_cast<double>(bytes_of(from)) + 0.5);
  const std::int64_t read = s.count * bytes_of(from), written = s.count * bytes_of(to);
  const std::int64_t rest = rest_beyond(s.work, static_cast<double>(read * std::max(1, passes) + written));
  return [=](Operands& o) -> Launch {
    const void* x = o.read(from, s.count);
    void* y = o.write(written);
    const SumOfSquares look{.x = x,
                            .sum = row_numbers(o, 1),
                            .workspace = row_numbers(o, kSumOfSquaresWorkspace),
                            .count = s.count,
                            .storage = from};
    const Launch also = copies(x, y, std::min(read, written), rest);
    return [=](cudaStream_t stream) {
      for (int pass = 1; pass < passes; ++pass) {
        if (const cudaError_t e = sum_of_squares(look, stream); e != cudaSuccess) return e;
      }
      const cudaError_t e = read == written ? copy({x, y, read}, stream)
                                            : cast({.x = x, .y = y, .count = s.count, .from = from, .to = to}, stream);
      return e == cudaSuccess ? also(stream) : e;
    };
  };
}

Bind adam_step(const WorkShape& s) {
  return [=](Operands& o) -> Launch {
    Adam k{.count = s.count, .weight_storage = s.storage == Storage::fp16 ? Storage::fp16 : Storage::bf16};
    k.gradient = o.state(s.count);
    k.master = o.state(s.count);
    k.first_moment = o.state(s.count);
    k.second_moment = o.squares(s.count);
    k.weight = o.write(2 * s.count);
    k.step = 100;
    return [k](cudaStream_t stream) { return adam(k, stream); };
  };
}

Bind gradient_norm(const WorkShape& s) {
  return [=](Operands& o) -> Launch {
    SumOfSquares k{.count = s.count, .storage = stored(s, s.work.read)};
    k.x = k.storage == Storage::fp32 ? o.state(s.count) : o.read(k.storage, s.count);
    k.sum = row_numbers(o, 1);
    k.workspace = row_numbers(o, kSumOfSquaresWorkspace);
    return [k](cudaStream_t stream) { return sum_of_squares(k, stream); };
  };
}

}  // namespace

WorkContext work_context(const StepFile& file) {
  WorkContext context;
  for (const StepWork& work : file.works) {
    if (const auto* a = std::get_if<Attention>(&work)) {
      context.head_dim = a->d_qk;
      context.sequence_length = a->seq_kv;
    }
    if (const auto* m = std::get_if<MemoryKernel>(&work); m != nullptr && m->op == MemoryOp::cross_entropy) {
      context.vocabulary = m->cols;
    }
  }
  return context;
}

Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::fp32:
    case DType::tf32:
      return Storage::fp32;
    case DType::fp16:
      return Storage::fp16;
    case DType::bf16:
      return Storage::bf16;
    case DType::fp8:
      return Storage::e4m3;
    case DType::fp4:
      break;
  }
  throw SpecError("graph", "expected fp32, tf32, fp16, bf16 or fp8; got fp4, for which there is no kernel here");
}

Bind bind_memory_work(const MemoryKernel& work, const WorkContext& context) {
  WorkShape s{work, context, storage_of(work.dtype), work.rows, work.cols, work.rows * work.cols, 0};
  s.width = gpu::bytes_of(s.storage);
  switch (work.op) {
    case MemoryOp::rms_norm:
      return norm(s, NormKind::rms);
    case MemoryOp::layer_norm:
      return norm(s, NormKind::layer);
    case MemoryOp::softmax:
      return softmax(s, false);
    case MemoryOp::masked_softmax:
      return softmax(s, true);
    case MemoryOp::swiglu:
      return gated(s, ActivationKind::silu);
    case MemoryOp::geglu:
      return gated(s, ActivationKind::gelu);
    case MemoryOp::gelu:
      return activation(s, ActivationKind::gelu, false);
    case MemoryOp::relu:
      return activation(s, ActivationKind::relu, false);
    case MemoryOp::bias_gelu:
      return activation(s, ActivationKind::gelu, true);
    case MemoryOp::add:
      return added(s);
    case MemoryOp::bias_dropout_add:
      return dropped(s, true);
    case MemoryOp::dropout:
      return dropped(s, false);
    case MemoryOp::rope:
      return rotated(s);
    case MemoryOp::copy:
      return copied(s.count * s.width);
    case MemoryOp::transpose:
      return [=](Operands& o) -> Launch {
        Transpose k{.rows = s.rows, .cols = s.cols, .storage = s.storage};
        k.x = s.in(o, s.count);
        k.y = s.out(o, s.count);
        return [k](cudaStream_t stream) { return transpose(k, stream); };
      };
    case MemoryOp::cast:
      return converted(s);
    case MemoryOp::zero:
      return [=](Operands& o) -> Launch {
        const auto bytes = static_cast<std::int64_t>(s.work.written.base());
        const Zero k{o.write(bytes), bytes};
        return [k](cudaStream_t stream) { return zero(k, stream); };
      };
    case MemoryOp::embedding:
      return embedding_work(s);
    case MemoryOp::cross_entropy:
      return loss_work(s);
    case MemoryOp::adam:
      return adam_step(s);
    case MemoryOp::scale:
      return [=](Operands& o) -> Launch {
        Scale k{.count = s.count, .storage = s.storage, .factor = 0.5F};
        k.x = s.in(o, s.count);
        k.y = s.out(o, s.count);
        return [k](cudaStream_t stream) { return scale(k, stream); };
      };
    case MemoryOp::grad_norm:
      return gradient_norm(s);
  }
  throw SpecError("graph",
                  "expected a memory operation that there is a kernel for; got " + std::string(op_name(work.op)));
}

Needs needs_of(const Bind& bind) {
  Operands counting;
  bind(counting);
  return counting.taken();
}

}  // namespace foretrain::gpu
