/// Launchers of sums over rows: gradients of biases and of norm weights. The same bits on every run.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// sums [cols] = column sums of x [rows, cols], or sums += them.
struct ColumnSums {
  const void* x = nullptr;
  float* sums = nullptr;
  float* workspace = nullptr;  ///< column_sums_workspace() bytes
  std::int64_t rows = 0, cols = 0;
  bool accumulate = false;
  Storage storage = Storage::bf16;
};
std::int64_t column_sums_workspace(std::int64_t rows, std::int64_t cols);
cudaError_t column_sums(const ColumnSums& arguments, cudaStream_t stream);

/// sums [cols] (+)= sum over parts of partial [parts, cols], in the order of the parts.
struct PartialSums {
  const float* partial = nullptr;
  float* sums = nullptr;
  std::int64_t parts = 0, cols = 0;
  bool accumulate = false;
};
cudaError_t finish_column_sums(const PartialSums& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
