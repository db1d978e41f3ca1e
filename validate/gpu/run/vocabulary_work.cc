// Launches of what depends on the vocabulary: the embedding and the loss.
#include <algorithm>

#include "validate/gpu/kernels/cross_entropy.h"
#include "validate/gpu/kernels/embedding.h"
#include "validate/gpu/run/memory_shape.h"

namespace foretrain::gpu {

Bind embedding_work(const WorkShape& s) {
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

/// What the graph's bytes exceed the fused kernels' by is moved as well: copies as large as the logits, one after the
/// other.
Bind loss_work(const WorkShape& s) {
  const std::int64_t bytes = s.count * s.width;
  const std::int64_t rest = rest_beyond(s.work, static_cast<double>(bytes) * (s.work.backward ? 2 : 1));
  return [=](Operands& o) -> Launch {
    const void* logits = s.in(o, s.count);
    const std::int64_t* targets = o.tokens(s.rows);
    float* largest = row_numbers(o, s.rows);
    float* sum = row_numbers(o, s.rows);
    float* target = row_numbers(o, s.rows);
    float* result = row_numbers(o, s.rows);
    void* out = s.out(o, s.count);
    const Launch also = copies(logits, out, bytes, rest);
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

}  // namespace foretrain::gpu
