#include "validate/gpu/kernels/elementwise.h"
#include "validate/gpu/kernels/rows.cuh"

namespace foretrain::gpu {
namespace {

constexpr int kThreads = 256;

/// Tiles of kTile x kTile elements: 128 bytes in each direction, so that reads and writes fill whole cache lines.
template <class T>
constexpr int kTile = 128 / static_cast<int>(sizeof(T));
/// One word of padding a row moves neighbouring rows to other banks.
template <class T>
constexpr int kPitch = kTile<T> + 4 / static_cast<int>(sizeof(T));

/// `whole`: rows, columns and pointers suit accesses of 16 bytes; a tile's edge then cuts no vector.
template <class T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const T* x, T* y, std::int64_t rows, std::int64_t cols, bool whole) {
  auto* tile = reinterpret_cast<T*>(shared_memory);  // [kTile][kPitch]
  constexpr int kCount = kVector<T>, kVectors = kTile<T> / kCount;
  const std::int64_t first_row = blockIdx.y * std::int64_t{kTile<T>}, first_col = blockIdx.x * std::int64_t{kTile<T>};
  x += blockIdx.z * rows * cols;
  y += blockIdx.z * rows * cols;
  if (whole) {
#pragma unroll
    for (int i = 0; i < kTile<T> * kVectors / kThreads; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads, r = at / kVectors, c = at % kVectors * kCount;
      if (first_row + r >= rows || first_col + c >= cols) continue;
      Packed<T, kCount> packed;
      packed.load(x + (first_row + r) * cols + first_col + c);
      for (int j = 0; j < kCount; ++j) tile[r * kPitch<T> + c + j] = packed.element[j];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kTile<T> * kVectors / kThreads; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads, c = at / kVectors, r = at % kVectors * kCount;
      if (first_row + r >= rows || first_col + c >= cols) continue;
      Packed<T, kCount> packed;
      for (int j = 0; j < kCount; ++j) packed.element[j] = tile[(r + j) * kPitch<T> + c];
      packed.store(y + (first_col + c) * rows + first_row + r);
    }
    return;
  }
  for (int at = static_cast<int>(threadIdx.x); at < kTile<T> * kTile<T>; at += kThreads) {
    const int r = at / kTile<T>, c = at % kTile<T>;
    if (first_row + r < rows && first_col + c < cols) {
      tile[r * kPitch<T> + c] = x[(first_row + r) * cols + first_col + c];
    }
  }
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < kTile<T> * kTile<T>; at += kThreads) {
    const int c = at / kTile<T>, r = at % kTile<T>;
    if (first_row + r < rows && first_col + c < cols) {
      y[(first_col + c) * rows + first_row + r] = tile[r * kPitch<T> + c];
    }
  }
}

}  // namespace

cudaError_t transpose(const Transpose& a, cudaStream_t stream) {
  if (!are_rows(a.rows, a.cols) || a.batch < 0 || a.batch > 65535) return cudaErrorInvalidValue;
  if (a.rows == 0 || a.batch == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t row_tiles = (a.rows + kTile<T> - 1) / kTile<T>;
    if (row_tiles > 65535) return cudaErrorInvalidValue;
    LaunchShape shape;
    shape.grid = dim3(static_cast<unsigned>((a.cols + kTile<T> - 1) / kTile<T>), static_cast<unsigned>(row_tiles),
                      static_cast<unsigned>(a.batch));
    shape.block = dim3(kThreads);
    shape.shared_bytes = kTile<T> * kPitch<T> * sizeof(T);
    const bool whole = is_aligned(a.x) && is_aligned(a.y) && a.rows % kVector<T> == 0 && a.cols % kVector<T> == 0;
    return launch(transpose_kernel<T>, shape, stream, static_cast<const T*>(a.x), static_cast<T*>(a.y), a.rows, a.cols,
                  whole);
  });
}

}  // namespace foretrain::gpu
