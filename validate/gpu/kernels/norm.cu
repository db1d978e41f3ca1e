#include <cuda_pipeline.h>

#include "validate/gpu/kernels/column_sums.h"
#include "validate/gpu/kernels/norm.h"
#include "validate/gpu/kernels/rows.cuh"

namespace foretrain::gpu {
namespace {

/// A row's threads read it once, keep it, and write it once.
template <class T, bool kLayer, int kWidth>
__global__ void __launch_bounds__(1024) norm_kernel(Norm a, bool keep) {
  const std::int64_t row = row_of_thread();
  const bool inside = row < a.rows;  // threads outside take part in the sums' barriers
  const KeptRow<T, kWidth> x = kept_row<kWidth>(static_cast<const T*>(a.x), inside ? row : a.rows - 1, a.cols, keep, 0);
  const float share = 1.0F / static_cast<float>(a.cols);

  float sum = 0;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v < x.row.vectors; v += static_cast<int>(blockDim.x)) {
    float values[kWidth];
    x.first_load(v).widen_to(values);
    for (int i = 0; i < kWidth; ++i) sum += kLayer ? values[i] : values[i] * values[i];
  }
  float mean = 0, square = row_sum(sum) * share;
  if constexpr (kLayer) {
    mean = square;
    sum = 0;
#pragma unroll 4
    for (int v = static_cast<int>(threadIdx.x); v < x.row.vectors; v += static_cast<int>(blockDim.x)) {
      float values[kWidth];
      x.load_again(v).widen_to(values);
      for (int i = 0; i < kWidth; ++i) sum += (values[i] - mean) * (values[i] - mean);
    }
    square = row_sum(sum) * share;
  }
  if (!inside) return;
  const float inverse = rsqrtf(square + a.epsilon);
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v < x.row.vectors; v += static_cast<int>(blockDim.x)) {
    float values[kWidth], factor[kWidth], shift[kWidth] = {};
    x.load_again(v).widen_to(values);
    load_floats(static_cast<const T*>(a.weight), v * kWidth, factor);
    if (kLayer && a.bias != nullptr) load_floats(static_cast<const T*>(a.bias), v * kWidth, shift);
    for (int i = 0; i < kWidth; ++i) values[i] = (values[i] - mean) * inverse * factor[i] + shift[i];
    if (a.narrow_y) {
      store_floats(static_cast<E4m3*>(a.y) + row * a.cols, v * kWidth, values);
    } else {
      store_floats(static_cast<T*>(a.y) + row * a.cols, v * kWidth, values);
    }
  }
  if (threadIdx.x == 0) {
    if (kLayer && a.mean != nullptr) a.mean[row] = mean;
    if (a.inverse_deviation != nullptr) a.inverse_deviation[row] = inverse;
  }
}

/// The rows of x and dy, of which a thread reads its own vectors only; the next row's are on the way meanwhile.
template <class T, int kPer, int kWidth>
struct RowsAhead {
  using Vector = Packed<T, kWidth>;
  const T* x;
  const T* dy;
  std::int64_t rows;
  int cols, vectors;
  bool ahead;

  [[nodiscard]] __device__ int vector(int k) const { return static_cast<int>(threadIdx.x + k * blockDim.x); }
  [[nodiscard]] __device__ Vector* slot(int stage, int tensor, int v) const {
    return reinterpret_cast<Vector*>(shared_memory + kScratchFloats * sizeof(float)) + (stage * 2 + tensor) * vectors +
           v;
  }
  __device__ void start(std::int64_t row, int stage) const {
    if constexpr (kWidth * sizeof(T) == 16) {
      if (!ahead) return;
      for (int k = 0; k < kPer && row < rows && vector(k) < vectors; ++k) {
        __pipeline_memcpy_async(slot(stage, 0, vector(k)), x + row * cols + vector(k) * kWidth, 16);
        __pipeline_memcpy_async(slot(stage, 1, vector(k)), dy + row * cols + vector(k) * kWidth, 16);
      }
      __pipeline_commit();
    }
  }
  __device__ void load(std::int64_t row, int stage, int v, float (&in_x)[kWidth], float (&in_dy)[kWidth]) const {
    if (ahead) {
      slot(stage, 0, v)->widen_to(in_x);
      slot(stage, 1, v)->widen_to(in_dy);
    } else {
      load_floats(x, row * cols + v * kWidth, in_x);
      load_floats(dy, row * cols + v * kWidth, in_dy);
    }
  }
};

/// Each block takes every gridDim.x-th row; a thread has the same columns in all of them, so that it sums their
/// weights' gradients in registers. workspace [1 or 2][gridDim.x][cols]: dweight, and dbias of LayerNorm.
template <class T, bool kLayer, int kPer, int kThreads, int kWidth>
__global__ void __launch_bounds__(kThreads, 1) norm_backward_kernel(NormBackward a, bool ahead) {
  const int cols = static_cast<int>(a.cols), vectors = cols / kWidth;
  const RowsAhead<T, kPer, kWidth> rows{
      static_cast<const T*>(a.x), static_cast<const T*>(a.dy), a.rows, cols, vectors, ahead};
  const float share = 1.0F / static_cast<float>(cols);
  Packed<T, kWidth> weight[kPer];
  float dweight[kPer][kWidth] = {}, dbias[kLayer ? kPer : 1][kWidth] = {};
#pragma unroll
  for (int k = 0; k < kPer; ++k) {
    if (rows.vector(k) < vectors) weight[k].load(static_cast<const T*>(a.weight) + rows.vector(k) * kWidth);
  }
  int stage = 0;
  rows.start(blockIdx.x, stage);
  for (std::int64_t row = blockIdx.x; row < a.rows; row += gridDim.x, stage ^= 1) {
    rows.start(row + gridDim.x, stage ^ 1);
    const float mean = kLayer ? a.mean[row] : 0.0F, inverse = a.inverse_deviation[row];
    if (ahead) __pipeline_wait_prior(1);  // the last group is the next row's
    float2 sum = make_float2(0, 0);       // of g h and of g
#pragma unroll
    for (int k = 0; k < kPer; ++k) {
      if (rows.vector(k) >= vectors) continue;
      float x[kWidth], dy[kWidth], factor[kWidth];
      rows.load(row, stage, rows.vector(k), x, dy);
      weight[k].widen_to(factor);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float h = (x[i] - mean) * inverse, g = dy[i] * factor[i];
        sum.x += g * h;
        sum.y += g;
        dweight[k][i] += dy[i] * h;
        if constexpr (kLayer) dbias[k][i] += dy[i];
      }
    }
    if constexpr (kLayer) {
      sum = row_sum(sum);
    } else {
      sum = make_float2(row_sum(sum.x), 0);
    }
    const float mean_gh = sum.x * share, mean_g = sum.y * share;
#pragma unroll
    for (int k = 0; k < kPer; ++k) {
      if (rows.vector(k) >= vectors) continue;
      float x[kWidth], dy[kWidth], factor[kWidth];
      rows.load(row, stage, rows.vector(k), x, dy);
      weight[k].widen_to(factor);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        dy[i] = inverse * (dy[i] * factor[i] - mean_g - (x[i] - mean) * inverse * mean_gh);
      }
      store_floats(static_cast<T*>(a.dx), row * cols + rows.vector(k) * kWidth, dy);
    }
  }
  float* partial = a.workspace + static_cast<std::int64_t>(blockIdx.x) * cols;
#pragma unroll
  for (int k = 0; k < kPer; ++k) {
    if (rows.vector(k) >= vectors) continue;
    store_floats(partial, rows.vector(k) * kWidth, dweight[k]);
    if constexpr (kLayer) {
      store_floats(partial + static_cast<std::int64_t>(gridDim.x) * cols, rows.vector(k) * kWidth, dbias[k]);
    }
  }
}

struct BackwardLaunch {
  LaunchShape shape;
  bool ahead = false;
};

/// As many blocks as the device holds at once, each with two rows of x and dy in shared memory where those fit.
template <class Kernel>
cudaError_t plan_backward(const NormBackward& a, std::int64_t threads, bool may_copy_ahead, Kernel kernel,
                          BackwardLaunch& plan) {
  int device = 0, multiprocessors = 0, most_shared = 0, blocks = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  }
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (error != cudaSuccess) return error;
  const std::int64_t scratch = kScratchFloats * sizeof(float);
  const std::int64_t both_stages = scratch + 4 * a.cols * bytes_of(a.storage);
  plan.ahead = may_copy_ahead && both_stages <= most_shared;
  plan.shape.shared_bytes = static_cast<std::size_t>(plan.ahead ? both_stages : scratch);
  plan.shape.block = dim3(static_cast<unsigned>((threads + 31) / 32 * 32));
  error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(plan.shape.shared_bytes));
  if (error == cudaSuccess) {
    error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, static_cast<int>(plan.shape.block.x),
                                                          plan.shape.shared_bytes);
  }
  if (error != cudaSuccess) return error;
  if (blocks < 1) return cudaErrorLaunchOutOfResources;
  const std::int64_t most = static_cast<std::int64_t>(blocks) * multiprocessors;
  plan.shape.grid = dim3(static_cast<unsigned>(a.rows < most ? a.rows : most));
  return cudaSuccess;
}

/// kPer vectors a thread, of at most kThreads: few of each leave registers and room for several blocks.
template <class T, int kPer, int kThreads, int kWidth, class Function>
cudaError_t with_kernel(const NormBackward& a, Function function) {
  const bool layer = a.kind == NormKind::layer;
  const auto kernel = layer ? norm_backward_kernel<T, true, kPer, kThreads, kWidth>
                            : norm_backward_kernel<T, false, kPer, kThreads, kWidth>;
  const std::int64_t threads = (a.cols / kWidth + kPer - 1) / kPer;
  if (threads > kThreads) return cudaErrorInvalidValue;
  BackwardLaunch plan;
  const cudaError_t error = plan_backward(a, threads, kWidth > 1, kernel, plan);
  return error == cudaSuccess ? function(kernel, plan) : error;
}

/// Calls function(kernel, plan) with the kernel that suits the shape.
template <class Function>
cudaError_t with_backward(const NormBackward& a, Function function) {
  if (!are_rows(a.rows, a.cols)) return cudaErrorInvalidValue;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int kWidth = kVector<T>;
    const bool aligned = is_aligned(a.x) && is_aligned(a.weight) && is_aligned(a.dy) && is_aligned(a.dx) &&
                         is_aligned(a.workspace) && a.cols % kWidth == 0;
    if (!aligned) return with_kernel<T, 16, 1024, 1>(a, function);
    if (a.cols <= 2 * 512 * kWidth) return with_kernel<T, 2, 512, kWidth>(a, function);
    if (a.cols <= 4 * 512 * kWidth) return with_kernel<T, 4, 512, kWidth>(a, function);
    return with_kernel<T, 4, 1024, kWidth>(a, function);
  });
}

}  // namespace

cudaError_t norm_forward(const Norm& a, cudaStream_t stream) {
  if (!are_rows(a.rows, a.cols)) return cudaErrorInvalidValue;
  if (a.rows == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool aligned = is_aligned(a.x) && is_aligned(a.weight) && is_aligned(a.bias) && is_aligned(a.y);
    return with_width<T>(aligned, a.cols, [&](auto width) {
      const RowLaunch plan = row_launch(a.rows, a.cols / width, a.cols * bytes_of(a.storage));
      const auto kernel = a.kind == NormKind::layer ? norm_kernel<T, true, width> : norm_kernel<T, false, width>;
      return launch(kernel, plan.shape, stream, a, plan.keep);
    });
  });
}

cudaError_t norm_backward_workspace(const NormBackward& a, std::int64_t* bytes) {
  *bytes = 0;
  if (a.rows == 0) return cudaSuccess;
  return with_backward(a, [&](auto, const BackwardLaunch& plan) {
    const std::int64_t tensors = a.kind == NormKind::layer ? 2 : 1;
    *bytes = tensors * plan.shape.grid.x * a.cols * static_cast<std::int64_t>(sizeof(float));
    return cudaSuccess;
  });
}

cudaError_t norm_backward(const NormBackward& a, cudaStream_t stream) {
  std::int64_t parts = 0;
  if (a.rows > 0) {
    const cudaError_t error = with_backward(a, [&](auto kernel, const BackwardLaunch& plan) {
      parts = plan.shape.grid.x;
      return launch(kernel, plan.shape, stream, a, plan.ahead);
    });
    if (error != cudaSuccess) return error;
  }
  cudaError_t error = finish_column_sums({a.workspace, a.dweight, parts, a.cols, a.accumulate}, stream);
  if (error == cudaSuccess && a.kind == NormKind::layer && a.dbias != nullptr) {
    error = finish_column_sums({a.workspace + parts * a.cols, a.dbias, parts, a.cols, a.accumulate}, stream);
  }
  return error;
}

}  // namespace foretrain::gpu
