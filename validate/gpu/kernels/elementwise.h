/// Launchers of the plain passes: add, scale, cast, copy, zero, transpose.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// sum = a + b.
struct Add {
  const void* a = nullptr;
  const void* b = nullptr;
  void* sum = nullptr;
  std::int64_t count = 0;
  Storage storage = Storage::bf16;
};
cudaError_t add(const Add& arguments, cudaStream_t stream);

/// y = x * factor * *device_factor.
struct Scale {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t count = 0;
  Storage storage = Storage::bf16;
  float factor = 1;
  const float* device_factor = nullptr;  ///< or none: a clipping coefficient that the host need not know
};
cudaError_t scale(const Scale& arguments, cudaStream_t stream);

/// y = x * factor in another format. From fp32, fp16 or bf16 to any; e4m3 saturates.
struct Cast {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t count = 0;
  Storage from = Storage::fp32, to = Storage::bf16;
  float factor = 1;
};
cudaError_t cast(const Cast& arguments, cudaStream_t stream);

struct Copy {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t bytes = 0;
};
cudaError_t copy(const Copy& arguments, cudaStream_t stream);

struct Zero {
  void* to = nullptr;
  std::int64_t bytes = 0;
};
cudaError_t zero(const Zero& arguments, cudaStream_t stream);

/// y [batch, cols, rows] = x [batch, rows, cols] transposed. Not in place. fp32, fp16, bf16. batch <= 65535.
struct Transpose {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t batch = 1, rows = 0, cols = 0;
  Storage storage = Storage::bf16;
};
cudaError_t transpose(const Transpose& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
