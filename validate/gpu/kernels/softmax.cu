#include "validate/gpu/kernels/rows.cuh"
#include "validate/gpu/kernels/softmax.h"

namespace foretrain::gpu {
namespace {

/// Columns that a row sees.
template <class Arguments>
__device__ int visible(const Arguments& a, std::int64_t row) {
  const std::int64_t seen = a.causal ? row % a.queries + 1 : a.cols;
  return static_cast<int>(min(seen, a.cols));
}

template <class T, int kWidth>
__global__ void __launch_bounds__(1024) softmax_kernel(Softmax a, bool keep) {
  const std::int64_t row = row_of_thread();
  const bool inside = row < a.rows;
  const std::int64_t at = inside ? row : a.rows - 1;
  const int seen = visible(a, at);
  const KeptRow<T, kWidth> x = kept_row<kWidth>(static_cast<const T*>(a.x), at, a.cols, keep, 0);
  ExpSum sum;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v * kWidth < seen; v += static_cast<int>(blockDim.x)) {
    float values[kWidth];
    x.first_load(v).widen_to(values);
    for (int i = 0; i < kWidth; ++i) {
      values[i] = v * kWidth + i < seen ? values[i] * a.scale : -INFINITY;
    }
    sum.add(values);
  }
  sum = row_merge(sum);
  if (!inside) return;
  const float inverse = __fdividef(1.0F, sum.sum);
  T* y = static_cast<T*>(a.y) + row * a.cols;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v < x.row.vectors; v += static_cast<int>(blockDim.x)) {
    float values[kWidth] = {};
    if (v * kWidth < seen) x.load_again(v).widen_to(values);
    for (int i = 0; i < kWidth; ++i) {
      const bool is_seen = v * kWidth + i < seen;
      values[i] = is_seen ? __expf(values[i] * a.scale - sum.largest) * inverse : 0.0F;
    }
    store_floats(y, v * kWidth, values);
  }
}

template <class T, int kWidth>
__global__ void __launch_bounds__(1024) softmax_backward_kernel(SoftmaxBackward a, bool keep) {
  const std::int64_t row = row_of_thread();
  const bool inside = row < a.rows;
  const std::int64_t at = inside ? row : a.rows - 1;
  const int seen = visible(a, at);
  const KeptRow<T, kWidth> y = kept_row<kWidth>(static_cast<const T*>(a.y), at, a.cols, keep, 0);
  const KeptRow<T, kWidth> dy = kept_row<kWidth>(static_cast<const T*>(a.dy), at, a.cols, keep, 1);
  float sum = 0;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v * kWidth < seen; v += static_cast<int>(blockDim.x)) {
    float value[kWidth], slope[kWidth];
    y.first_load(v).widen_to(value);
    dy.first_load(v).widen_to(slope);
    for (int i = 0; i < kWidth; ++i) sum += v * kWidth + i < seen ? value[i] * slope[i] : 0.0F;
  }
  sum = row_sum(sum);
  if (!inside) return;
  T* dx = static_cast<T*>(a.dx) + row * a.cols;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v < y.row.vectors; v += static_cast<int>(blockDim.x)) {
    float value[kWidth] = {}, slope[kWidth] = {};
    if (v * kWidth < seen) {
      y.load_again(v).widen_to(value);
      dy.load_again(v).widen_to(slope);
    }
    for (int i = 0; i < kWidth; ++i) {
      value[i] = v * kWidth + i < seen ? a.scale * value[i] * (slope[i] - sum) : 0.0F;
    }
    store_floats(dx, v * kWidth, value);
  }
}

bool is_valid(std::int64_t rows, std::int64_t cols, bool causal, std::int64_t queries) {
  return are_rows(rows, cols) && (!causal || queries >= 1);
}

}  // namespace

cudaError_t softmax_forward(const Softmax& a, cudaStream_t stream) {
  if (!is_valid(a.rows, a.cols, a.causal, a.queries)) return cudaErrorInvalidValue;
  if (a.rows == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return with_width<T>(is_aligned(a.x) && is_aligned(a.y), a.cols, [&](auto width) {
      const RowLaunch plan = row_launch(a.rows, a.cols / width, a.cols * sizeof(T));
      return launch(softmax_kernel<T, width>, plan.shape, stream, a, plan.keep);
    });
  });
}

cudaError_t softmax_backward(const SoftmaxBackward& a, cudaStream_t stream) {
  if (!is_valid(a.rows, a.cols, a.causal, a.queries)) return cudaErrorInvalidValue;
  if (a.rows == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return with_width<T>(is_aligned(a.y) && is_aligned(a.dy) && is_aligned(a.dx), a.cols, [&](auto width) {
      const RowLaunch plan = row_launch(a.rows, a.cols / width, 2 * a.cols * sizeof(T));
      return launch(softmax_backward_kernel<T, width>, plan.shape, stream, a, plan.keep);
    });
  });
}

}  // namespace foretrain::gpu
