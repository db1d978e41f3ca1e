#include "validate/gpu/kernels/cross_entropy.h"
#include "validate/gpu/kernels/map.cuh"
#include "validate/gpu/kernels/rows.cuh"

namespace foretrain::gpu {
namespace {

template <class T, int kWidth>
__global__ void __launch_bounds__(1024) statistics_kernel(CrossEntropyStatistics a) {
  const std::int64_t row = row_of_thread();
  const bool inside = row < a.rows;
  const int cols = static_cast<int>(a.vocabulary);
  const Row<T, kWidth> logits{static_cast<const T*>(a.logits) + (inside ? row : a.rows - 1) * cols, cols / kWidth};
  ExpSum sum;
#pragma unroll 4
  for (int v = static_cast<int>(threadIdx.x); v < logits.vectors; v += static_cast<int>(blockDim.x)) {
    float values[kWidth];
    logits.load(v).widen_to(values);
    sum.add(values);
  }
  sum = row_merge(sum);
  if (!inside || threadIdx.x != 0) return;
  const std::int64_t target = a.targets[row] - a.first_token;
  a.largest[row] = sum.largest;
  a.sum_exp[row] = sum.sum;
  a.target_logit[row] = target >= 0 && target < cols ? widen(logits.first[target]) : 0.0F;
}

template <class T>
struct BackwardFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  CrossEntropyBackward a;
  float mean_share;  // dloss where none is given

  template <int kCount>
  struct Loaded {
    float logits[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(static_cast<const T*>(a.logits), piece.index, in.logits);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    const float dloss = a.dloss == nullptr ? mean_share : a.dloss[piece.row];
    const float largest = a.largest[piece.row], inverse = __fdividef(1.0F, a.sum_exp[piece.row]);
    const std::int64_t target = a.targets[piece.row] - a.first_token - piece.column;
    float out[kCount];
    for (int i = 0; i < kCount; ++i) {
      out[i] = (__expf(in.logits[i] - largest) * inverse - (target == i ? 1.0F : 0.0F)) * dloss;
    }
    store_floats(static_cast<T*>(a.dlogits), piece.index, out);
  }
};

/// One number a row: nothing to be fast about.
struct RescaleFunction {
  static constexpr int kWidth = 1, kUnroll = 1;
  static constexpr bool kRows = false;
  CrossEntropyRescale a;

  template <int kCount>
  struct Loaded {};
  template <int kCount>
  __device__ void load(Piece, Loaded<kCount>&) const {}
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>&) const {
    a.sum_exp[piece.index] *= __expf(a.largest[piece.index] - a.largest_of_all[piece.index]);
  }
};

struct LossFunction {
  static constexpr int kWidth = 1, kUnroll = 1;
  static constexpr bool kRows = false;
  CrossEntropyLoss a;

  template <int kCount>
  struct Loaded {};
  template <int kCount>
  __device__ void load(Piece, Loaded<kCount>&) const {}
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>&) const {
    const std::int64_t i = piece.index;
    a.loss[i] = logf(a.sum_exp[i]) + a.largest[i] - a.target_logit[i];
  }
};

}  // namespace

cudaError_t cross_entropy_statistics(const CrossEntropyStatistics& a, cudaStream_t stream) {
  if (!are_rows(a.rows, a.vocabulary)) return cudaErrorInvalidValue;
  if (a.rows == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return with_width<T>(is_aligned(a.logits), a.vocabulary, [&](auto width) {
      return launch(statistics_kernel<T, width>, row_launch(a.rows, a.vocabulary / width, 0).shape, stream, a);
    });
  });
}

cudaError_t cross_entropy_rescale(const CrossEntropyRescale& a, cudaStream_t stream) {
  return launch_map(RescaleFunction{a}, a.rows, 1, false, stream);
}

cudaError_t cross_entropy_loss(const CrossEntropyLoss& a, cudaStream_t stream) {
  return launch_map(LossFunction{a}, a.rows, 1, false, stream);
}

cudaError_t cross_entropy_backward(const CrossEntropyBackward& a, cudaStream_t stream) {
  if (!are_rows(a.rows, a.vocabulary)) return cudaErrorInvalidValue;
  if (a.rows == 0) return cudaSuccess;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return launch_map(BackwardFunction<T>{a, 1.0F / static_cast<float>(a.rows)}, a.rows * a.vocabulary, a.vocabulary,
                      is_aligned(a.logits) && is_aligned(a.dlogits), stream);
  });
}

}  // namespace foretrain::gpu
