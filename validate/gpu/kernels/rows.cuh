/// What kernels share that reduce rows: who works on which row, sums over a row, and a row kept near.
///
/// A block is (threads of a row) x (rows of the block); the threads of a row are whole warps.
#pragma once

#include "validate/gpu/kernels/numbers.cuh"

namespace foretrain::gpu {

/// All shared memory of a kernel: a scratch of kScratchFloats a row of the block, then what the kernel puts there.
extern __shared__ __align__(16) unsigned char shared_memory[];

inline constexpr int kScratchFloats = 64;  // two for each of at most 32 warps

__device__ inline std::int64_t row_of_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}
__device__ inline float* scratch_of_row() {
  return reinterpret_cast<float*>(shared_memory) + threadIdx.y * kScratchFloats;
}

/// The sum of `value` over the threads of a row, in a fixed order. Every thread of the block must call it.
__device__ inline float row_sum(float value) {
  for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffU, value, lane);
  const int warps = static_cast<int>(blockDim.x) / 32;
  if (warps == 1) return value;
  float* scratch = scratch_of_row();
  __syncthreads();  // what was here before has been read
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < warps; ++warp) sum += scratch[warp];
  return sum;
}

/// Two sums at the cost of one barrier.
__device__ inline float2 row_sum(float2 value) {
  for (int lane = 16; lane > 0; lane /= 2) {
    value.x += __shfl_xor_sync(0xffffffffU, value.x, lane);
    value.y += __shfl_xor_sync(0xffffffffU, value.y, lane);
  }
  const int warps = static_cast<int>(blockDim.x) / 32;
  if (warps == 1) return value;
  float* scratch = scratch_of_row();
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    scratch[threadIdx.x / 32] = value.x;
    scratch[32 + threadIdx.x / 32] = value.y;
  }
  __syncthreads();
  float2 sum = make_float2(0, 0);
  for (int warp = 0; warp < warps; ++warp) {
    sum.x += scratch[warp];
    sum.y += scratch[32 + warp];
  }
  return sum;
}

/// Sum of exponentials relative to a maximum; merges without overflow.
struct ExpSum {
  float largest = -3.402823466e38F;  // not infinity: the difference of two is a number
  float sum = 0;

  template <int kCount>
  __device__ void add(const float (&values)[kCount]) {
    float next = largest;
    for (int i = 0; i < kCount; ++i) next = fmaxf(next, values[i]);
    sum *= __expf(largest - next);
    for (int i = 0; i < kCount; ++i) sum += __expf(values[i] - next);
    largest = next;
  }
  __device__ void merge(float other_largest, float other_sum) {
    const float next = fmaxf(largest, other_largest);
    sum = sum * __expf(largest - next) + other_sum * __expf(other_largest - next);
    largest = next;
  }
};

/// The merged sums of the threads of a row. Every thread of the block must call it.
__device__ inline ExpSum row_merge(ExpSum value) {
  for (int lane = 16; lane > 0; lane /= 2) {
    const float largest = __shfl_xor_sync(0xffffffffU, value.largest, lane);
    const float sum = __shfl_xor_sync(0xffffffffU, value.sum, lane);
    value.merge(largest, sum);
  }
  const int warps = static_cast<int>(blockDim.x) / 32;
  if (warps == 1) return value;
  float* scratch = scratch_of_row();
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    scratch[threadIdx.x / 32] = value.largest;
    scratch[32 + threadIdx.x / 32] = value.sum;
  }
  __syncthreads();
  ExpSum all;
  for (int warp = 0; warp < warps; ++warp) all.merge(scratch[warp], scratch[32 + warp]);
  return all;
}

/// One row of a tensor by vectors of kWidth elements, which fill it: 16 bytes, or 1 element where rows are misaligned.
template <class T, int kWidth>
struct Row {
  using Vector = Packed<T, kWidth>;
  const T* first;
  int vectors;

  [[nodiscard]] __device__ Vector load(int vector) const {
    Vector values;
    values.load(first + vector * kWidth);
    return values;
  }
};

/// A row read once and kept in shared memory where it fits, else read again (from the L2 cache).
template <class T, int kWidth>
struct KeptRow {
  using Vector = Packed<T, kWidth>;
  Row<T, kWidth> row;
  Vector* kept;  ///< or null

  [[nodiscard]] __device__ Vector first_load(int vector) const {
    const Vector values = row.load(vector);
    if (kept != nullptr) kept[vector] = values;
    return values;
  }
  /// By the thread that made the first load of this vector.
  [[nodiscard]] __device__ Vector load_again(int vector) const {
    return kept != nullptr ? kept[vector] : row.load(vector);
  }
};

/// The block's row of tensor number `which` of those kept, in shared memory behind the scratch.
template <int kWidth, class T>
__device__ KeptRow<T, kWidth> kept_row(const T* tensor, std::int64_t row, std::int64_t cols, bool keep, int which) {
  KeptRow<T, kWidth> result{{tensor + row * cols, static_cast<int>(cols) / kWidth}, nullptr};
  if (keep) {
    unsigned char* behind = shared_memory + blockDim.y * kScratchFloats * sizeof(float);
    result.kept =
        reinterpret_cast<Packed<T, kWidth>*>(behind) + (which * blockDim.y + threadIdx.y) * result.row.vectors;
  }
  return result;
}

/// How rows are laid over threads: about four vectors a thread, whole warps, at least 256 threads a block.
struct RowLaunch {
  LaunchShape shape;
  bool keep = false;  ///< whether the bytes to keep of each row fit in shared memory
};

/// Kept rows take at most this much of a block's shared memory, so that three blocks fit beside each other on the
/// smallest of the GPUs meant (164 KiB on an A100). Source: CUDA C++ programming guide, table "technical
/// specifications".
inline constexpr std::size_t kKeptBytes = 48 * 1024;

inline RowLaunch row_launch(std::int64_t rows, std::int64_t vectors, std::int64_t kept_bytes) {
  unsigned threads = 32;
  while (threads < 1024 && threads * 4 < vectors) threads *= 2;
  const unsigned block_rows = threads < 256 ? 256 / threads : 1;
  RowLaunch result;
  result.shape.grid = dim3(static_cast<unsigned>((rows + block_rows - 1) / block_rows));
  result.shape.block = dim3(threads, block_rows);
  const std::size_t kept = static_cast<std::size_t>(kept_bytes) * block_rows;
  result.keep = kept <= kKeptBytes;
  result.shape.shared_bytes = block_rows * kScratchFloats * sizeof(float) + (result.keep ? kept : 0);
  return result;
}

/// Calls function(std::integral_constant<int, kWidth>) with the width of vectors that suits the rows.
template <class T, class Function>
cudaError_t with_width(bool aligned, std::int64_t cols, Function function) {
  if (aligned && cols % kVector<T> == 0) return function(std::integral_constant<int, kVector<T>>{});
  return function(std::integral_constant<int, 1>{});
}

inline bool are_rows(std::int64_t rows, std::int64_t cols) {
  return rows >= 0 && rows <= 0x7fffffff && cols >= 1 && cols <= (std::int64_t{1} << 30);
}

}  // namespace foretrain::gpu
