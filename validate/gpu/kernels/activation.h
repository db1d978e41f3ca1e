/// Launchers of MLP activations, plain, with bias, and gated; forward and backward.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// gelu is the tanh form; silu gated is SwiGLU, gelu gated is GeGLU.
enum class ActivationKind { relu, gelu, silu };

/// y = act(x + bias), x and y [rows, cols]. relu and gelu.
struct Activation {
  ActivationKind kind = ActivationKind::gelu;
  const void* x = nullptr;
  const void* bias = nullptr;  ///< [cols], or none
  void* y = nullptr;
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
cudaError_t activation_forward(const Activation& arguments, cudaStream_t stream);

/// dx = dy act'(x + bias). The gradient of the bias is column_sums(dx).
struct ActivationBackward {
  ActivationKind kind = ActivationKind::gelu;
  const void* x = nullptr;
  const void* bias = nullptr;  ///< [cols], or none
  const void* dy = nullptr;
  void* dx = nullptr;
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
cudaError_t activation_backward(const ActivationBackward& arguments, cudaStream_t stream);

/// y [rows, cols] = act(gate) up of gate_up [rows, 2 cols], each row the gates, then the ups. silu and gelu.
struct Gated {
  ActivationKind kind = ActivationKind::silu;
  const void* gate_up = nullptr;
  void* y = nullptr;
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
cudaError_t gated_forward(const Gated& arguments, cudaStream_t stream);

/// dgate_up [rows, 2 cols] from gate_up and dy [rows, cols].
struct GatedBackward {
  ActivationKind kind = ActivationKind::silu;
  const void* gate_up = nullptr;
  const void* dy = nullptr;
  void* dgate_up = nullptr;
  std::int64_t rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
cudaError_t gated_backward(const GatedBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
