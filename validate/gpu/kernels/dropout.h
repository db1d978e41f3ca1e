/// Launchers of dropout and of the fused bias, dropout and residual sum.
#pragma once

#include "validate/gpu/kernels/storage.h"
#include "validate/reference/philox.h"

namespace foretrain::gpu {

/// y = residual + dropout(x + bias), all [rows, cols] but for the bias [cols]. Which elements drop follows from the
/// stream and an element's number alone, as in validate/reference/dropout.h.
struct Dropout {
  const void* x = nullptr;
  const void* bias = nullptr;      ///< or none
  const void* residual = nullptr;  ///< or none
  void* y = nullptr;
  std::uint8_t* mask = nullptr;  ///< written where given: 1 for each element kept
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
  float probability = 0;  ///< of an element to drop; 0 <= probability < 1
  RandomStream stream;
  std::int64_t first_element = 0;  ///< number within the stream of the first element here; fastest when 4 divides it
};
cudaError_t dropout_forward(const Dropout& arguments, cudaStream_t stream);

/// dx = dy / (1 - probability) where kept, else 0: by the mask where given, else by drawing again.
struct DropoutBackward {
  const void* dy = nullptr;
  const std::uint8_t* mask = nullptr;  ///< or none
  void* dx = nullptr;
  std::int64_t count = 0;
  Storage storage = Storage::bf16;
  float probability = 0;
  RandomStream stream;
  std::int64_t first_element = 0;
};
cudaError_t dropout_backward(const DropoutBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
