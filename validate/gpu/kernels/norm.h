/// Launchers of RMSNorm and LayerNorm, forward and backward.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

enum class NormKind { rms, layer };

/// y = (x - mean) inverse_deviation weight + bias over each row of x [rows, cols]. RMSNorm has neither mean nor bias.
struct Norm {
  NormKind kind = NormKind::rms;
  const void* x = nullptr;
  const void* weight = nullptr;  ///< [cols]
  const void* bias = nullptr;    ///< [cols], or none
  void* y = nullptr;
  float* mean = nullptr;               ///< [rows]; LayerNorm only
  float* inverse_deviation = nullptr;  ///< [rows]
  std::int64_t rows = 0, cols = 0;
  float epsilon = 1e-5F;
  Storage storage = Storage::bf16;
  bool narrow_y = false;  ///< y in e4m3, for a product in 8 bits
};
cudaError_t norm_forward(const Norm& arguments, cudaStream_t stream);

/// dx, and the gradients of weight and bias in fp32 from the same pass over x and dy. The sums' order depends on the
/// GPU's number of multiprocessors, and on nothing else. cols <= 32768 (16384 in fp32 or where rows do not fill vectors
/// of 16 bytes).
struct NormBackward {
  NormKind kind = NormKind::rms;
  const void* x = nullptr;
  const void* weight = nullptr;
  const float* mean = nullptr;
  const float* inverse_deviation = nullptr;
  const void* dy = nullptr;
  void* dx = nullptr;
  float* dweight = nullptr;  ///< [cols]
  float* dbias = nullptr;    ///< [cols]; LayerNorm only, or none
  bool accumulate = false;   ///< adds to dweight and dbias
  float* workspace = nullptr;
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
/// Bytes of workspace on the current device.
cudaError_t norm_backward_workspace(const NormBackward& arguments, std::int64_t* bytes);
cudaError_t norm_backward(const NormBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
