/// Launchers of the optimizer step: AdamW with fp32 master weights, and the gradient norm.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// validate/reference/adam.h says what it computes. 28 to 30 bytes a parameter in one pass.
struct Adam {
  const void* gradient = nullptr;
  float* master = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  void* weight = nullptr;  ///< the model's copy, rounded from the master; or none
  std::int64_t count = 0;
  Storage gradient_storage = Storage::fp32;  ///< fp32, or as the weight's
  Storage weight_storage = Storage::bf16;    ///< bf16 or fp16
  float learning_rate = 1e-3F, beta_1 = 0.9F, beta_2 = 0.999F, epsilon = 1e-8F, weight_decay = 0;
  std::int64_t step = 1;                ///< from 1
  float gradient_scale = 1;             ///< multiplies the gradient first
  const float* device_scale = nullptr;  ///< or none: multiplies it too (a clipping coefficient)
};
cudaError_t adam(const Adam& arguments, cudaStream_t stream);

/// sum [1] = sum of squares of x, in an order that depends on the count alone; NaN and infinity show in it.
struct SumOfSquares {
  const void* x = nullptr;
  float* sum = nullptr;
  float* workspace = nullptr;  ///< [kSumOfSquaresWorkspace]
  std::int64_t count = 0;
  Storage storage = Storage::fp32;
};
inline constexpr std::int64_t kSumOfSquaresWorkspace = 1024;
cudaError_t sum_of_squares(const SumOfSquares& arguments, cudaStream_t stream);

/// coefficient [1] = min(1, max_norm / (sqrt(sum_of_squares) + 1e-6)). Source: torch.nn.utils.clip_grad_norm_.
struct ClipCoefficient {
  const float* sum_of_squares = nullptr;
  float* coefficient = nullptr;
  float max_norm = 1;
};
cudaError_t clip_coefficient(const ClipCoefficient& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
