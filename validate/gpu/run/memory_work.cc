#include "validate/gpu/run/memory_work.h"

#include <algorithm>
#include <string>

#include "base/spec_error.h"
#include "validate/gpu/kernels/activation.h"
#include "validate/gpu/kernels/cross_entropy.h"
#include "validate/gpu/kernels/dropout.h"
#include "validate/gpu/kernels/elementwise.h"
#include "validate/gpu/kernels/embedding.h"
#include "validate/gpu/kernels/norm.h"
#include "validate/gpu/kernels/optimizer.h"
#include "validate/gpu/kernels/rope.h"
#include "validate/gpu/kernels/softmax.h"

namespace foretrain::gpu {
namespace {

constexpr float kDropProbability = 0.1F;  // as in GPT-2's training; its value does not matter to the time

/// The shape of one work, with what all of them need.
struct Shape {
  MemoryKernel work;
  WorkContext context;
  Storage storage = Storage::bf16;
  std::int64_t rows = 1, cols = 1, count = 1, width = 2;

  [[nodiscard]] const void* in(Operands& o, std::int64_t numbers) const { return o.read(storage, numbers); }
  [[nodiscard]] void* out(Operands& o, std::int64_t numbers) const { return o.write(numbers * width); }
};
float* row_numbers(Operands& o, std::int64_t rows) { return static_cast<float*>(o.scratch(4 * rows)); }

Bind norm(const Shape& s, NormKind kind) {
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Norm n{.kind = kind, .rows = s.rows, .cols = s.cols, .storage = s.storage};
      n.x = s.in(o, s.count);
      n.weight = s.in(o, s.cols);
      if (kind == NormKind::layer) n.bias = s.in(o, s.cols);
      n.y = s.out(o, s.count);
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
    return [n](cudaStream_t stream) { return norm_backward(n, stream); };
  };
}

Bind softmax(const Shape& s, bool causal) {
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

Bind gated(const Shape& s, ActivationKind kind) {
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

Bind activation(const Shape& s, ActivationKind kind, bool bias) {
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
Bind added(const Shape& s) {
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

Bind dropped(const Shape& s, bool fused) {
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

Bind rotated(const Shape& s) {
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

Bind converted(const Shape& s) {
  return [=](Operands& o) -> Launch {
    Cast k{.count = s.count};
    k.from = s.work.backward ? Storage::fp32 : s.storage;
    k.to = s.work.backward ? s.storage : Storage::fp32;
    k.x = o.read(k.from, s.count);
    k.y = o.write(s.count * bytes_of(k.to));
    return [k](cudaStream_t stream) { return cast(k, stream); };
  };
}

Bind embedded(const Shape& s) {
  const std::int64_t vocabulary = s.context.vocabulary;
  if (!s.work.backward) {
    return [=](Operands& o) -> Launch {
      Embedding k{.count = s.rows, .vocabulary = vocabulary, .hidden = s.cols, .storage = s.storage};
      k.tokens = o.tokens(s.rows);
      k.table = s.in(o, vocabulary * s.cols);
      k.out = s.out(o, s.count);
      return [k](cudaStream_t stream) { return embedding_forward(k, stream); };
    };
  }
  return [=](Operands& o) -> Launch {
    EmbeddingBackward k{.count = s.rows, .vocabulary = vocabulary, .hidden = s.cols, .storage = s.storage};
    k.tokens = o.tokens(s.rows);
    k.dy = s.in(o, s.count);
    k.gradient = o.state(vocabulary * s.cols);
    return [k](cudaStream_t stream) { return embedding_backward(k, stream); };
  };
}

/// The loss over this rank's share of the vocabulary, with its statistics as they come from the other ranks. What the
/// graph's bytes exceed the fused kernels' by is moved as well: copies as large as the logits, one after the other.
Bind loss(const Shape& s) {
  const double all = s.work.read.base() + s.work.written.base();
  const double fused = static_cast<double>(s.count * s.width) * (s.work.backward ? 2 : 1);
  const auto rest = static_cast<std::int64_t>(std::max(0.0, all - fused) / 2) / 16 * 16;
  return [=](Operands& o) -> Launch {
    const void* logits = s.in(o, s.count);
    const std::int64_t* targets = o.tokens(s.rows);
    float* largest = row_numbers(o, s.rows);
    float* sum = row_numbers(o, s.rows);
    float* target = row_numbers(o, s.rows);
    float* result = row_numbers(o, s.rows);
    void* out = s.out(o, s.count);
    const auto also = [=](cudaStream_t stream) {
      for (std::int64_t left = rest; left > 0; left -= s.count * s.width) {
        const cudaError_t e = copy({logits, out, std::min(left, s.count * s.width)}, stream);
        if (e != cudaSuccess) return e;
      }
      return cudaSuccess;
    };
    if (!s.work.backward) {
      const CrossEntropyStatistics k{logits, targets, largest, sum, target, s.rows, s.cols, 0, s.storage};
      const CrossEntropyLoss l{largest, sum, target, result, s.rows};
      return [=](cudaStream_t stream) {
        if (const cudaError_t e = cross_entropy_statistics(k, stream); e != cudaSuccess) return e;
        if (const cudaError_t e = cross_entropy_loss(l, stream); e != cudaSuccess) return e;
        return also(stream);
      };
    }
    const CrossEntropyBackward k{logits, targets, largest, sum, nullptr, out, s.rows, s.cols, 0, s.storage};
    return [=](cudaStream_t stream) {
      if (const cudaError_t e = cross_entropy_backward(k, stream); e != cudaSuccess) return e;
      return also(stream);
    };
  };
}

Bind adam_step(const Shape& s) {
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

Bind gradient_norm(const Shape& s) {
  return [=](Operands& o) -> Launch {
    SumOfSquares k{.count = s.count, .storage = s.storage};
    k.x = s.storage == Storage::fp32 ? o.state(s.count) : s.in(o, s.count);
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
  Shape s{work, context, storage_of(work.dtype), work.rows, work.cols, work.rows * work.cols, 0};
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
        const Zero k{s.out(o, s.count), s.count * s.width};
        return [k](cudaStream_t stream) { return zero(k, stream); };
      };
    case MemoryOp::embedding:
      return embedded(s);
    case MemoryOp::cross_entropy:
      return loss(s);
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
