#include <algorithm>

#include "validate/gpu/kernels/column_sums.h"
#include "validate/gpu/kernels/rows.cuh"

namespace foretrain::gpu {
namespace {

constexpr int kLanes = 32;  // threads along the columns, a vector each
constexpr int kGroups = 8;  // threads along the rows
constexpr int kMostFinalGroups = 32;

/// Rows of one part: [part * part_rows, (part + 1) * part_rows).
template <class T, int kWidth>
__global__ void __launch_bounds__(kLanes* kGroups)
    partial_kernel(const T* x, float* partial, std::int64_t rows, int cols, std::int64_t part_rows) {
  constexpr int kBlockCols = kLanes * kWidth;
  auto* sums = reinterpret_cast<float*>(shared_memory);  // [kGroups][kBlockCols]
  const int vector = static_cast<int>(blockIdx.x) * kLanes + static_cast<int>(threadIdx.x);
  const std::int64_t last = min(rows, (blockIdx.y + std::int64_t{1}) * part_rows);
  const bool inside = vector * kWidth < cols;
  float sum[kWidth] = {};
#pragma unroll 4
  for (std::int64_t row = blockIdx.y * part_rows + threadIdx.y; row < last && inside; row += kGroups) {
    float values[kWidth];
    load_floats(x, row * cols + vector * kWidth, values);
    for (int i = 0; i < kWidth; ++i) sum[i] += values[i];
  }
  for (int i = 0; i < kWidth; ++i) sums[threadIdx.y * kBlockCols + threadIdx.x * kWidth + i] = sum[i];
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y) * kLanes + static_cast<int>(threadIdx.x);
  for (int column = thread; column < kBlockCols; column += kLanes * kGroups) {
    const int at = static_cast<int>(blockIdx.x) * kBlockCols + column;
    if (at >= cols) break;
    float total = 0;
    for (int group = 0; group < kGroups; ++group) total += sums[group * kBlockCols + column];
    partial[static_cast<std::int64_t>(blockIdx.y) * cols + at] = total;
  }
}

__global__ void __launch_bounds__(kLanes* kMostFinalGroups) final_kernel(PartialSums a) {
  auto* sums = reinterpret_cast<float*>(shared_memory);  // [blockDim.y][kLanes]
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kLanes + threadIdx.x;
  float sum = 0;
  if (column < a.cols) {
#pragma unroll 4
    for (std::int64_t part = threadIdx.y; part < a.parts; part += blockDim.y) sum += a.partial[part * a.cols + column];
  }
  sums[threadIdx.y * kLanes + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.cols) return;
  float total = a.accumulate ? a.sums[column] : 0.0F;
  for (int group = 0; group < static_cast<int>(blockDim.y); ++group) total += sums[group * kLanes + threadIdx.x];
  a.sums[column] = total;
}

/// Enough parts that some 2,000 blocks share the work, each with 32 rows or more.
std::int64_t parts_of(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kBlocks = 2048, kBlockColumns = 256;
  const std::int64_t column_blocks = std::min((cols + kBlockColumns - 1) / kBlockColumns, kBlocks);
  return std::max<std::int64_t>(1, std::min((rows + 31) / 32, kBlocks / column_blocks));
}

}  // namespace

std::int64_t column_sums_workspace(std::int64_t rows, std::int64_t cols) {
  return parts_of(rows, cols) * cols * static_cast<std::int64_t>(sizeof(float));
}

cudaError_t column_sums(const ColumnSums& a, cudaStream_t stream) {
  if (!are_rows(a.rows, a.cols)) return cudaErrorInvalidValue;
  const std::int64_t parts = parts_of(a.rows, a.cols);
  const cudaError_t error = with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return with_width<T>(is_aligned(a.x), a.cols, [&](auto width) {
      constexpr std::int64_t kBlockCols = kLanes * decltype(width)::value;
      const LaunchShape shape{
          dim3(static_cast<unsigned>((a.cols + kBlockCols - 1) / kBlockCols), static_cast<unsigned>(parts)),
          dim3(kLanes, kGroups), kGroups * kBlockCols * sizeof(float)};
      return launch(partial_kernel<T, width>, shape, stream, static_cast<const T*>(a.x), a.workspace, a.rows, a.cols,
                    (a.rows + parts - 1) / parts);
    });
  });
  if (error != cudaSuccess) return error;
  return finish_column_sums({a.workspace, a.sums, parts, a.cols, a.accumulate}, stream);
}

cudaError_t finish_column_sums(const PartialSums& a, cudaStream_t stream) {
  if (a.cols < 1) return a.cols == 0 ? cudaSuccess : cudaErrorInvalidValue;
  unsigned groups = 1;
  while (groups < kMostFinalGroups && groups < a.parts) groups *= 2;
  const LaunchShape shape{dim3(static_cast<unsigned>((a.cols + kLanes - 1) / kLanes)), dim3(kLanes, groups),
                          groups * kLanes * sizeof(float)};
  return launch(final_kernel, shape, stream, a);
}

}  // namespace foretrain::gpu
