/// Launchers of softmax over rows, plain or with scale and causal mask fused, forward and backward.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// y = softmax(scale x) over each row of [rows, cols]. Causal: row r is query r % queries and sees columns up to that
/// number; the rest of x is not read and the rest of y is 0.
struct Softmax {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t rows = 0, cols = 0;
  float scale = 1;
  bool causal = false;
  std::int64_t queries = 1;
  Storage storage = Storage::bf16;
};
cudaError_t softmax_forward(const Softmax& arguments, cudaStream_t stream);

/// dx = scale y (dy - sum(y dy)), from the output y.
struct SoftmaxBackward {
  const void* y = nullptr;
  const void* dy = nullptr;
  void* dx = nullptr;
  std::int64_t rows = 0, cols = 0;
  float scale = 1;
  bool causal = false;
  std::int64_t queries = 1;
  Storage storage = Storage::bf16;
};
cudaError_t softmax_backward(const SoftmaxBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
