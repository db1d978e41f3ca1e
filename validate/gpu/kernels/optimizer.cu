#include <algorithm>
#include <cmath>

#include "validate/gpu/kernels/map.cuh"
#include "validate/gpu/kernels/optimizer.h"
#include "validate/gpu/kernels/rows.cuh"

namespace foretrain::gpu {
namespace {

/// What the launcher works out once, in double.
struct AdamFactors {
  float decay_1, share_1, decay_2, share_2;          // beta and 1 - beta
  float inverse_correction_1, inverse_correction_2;  // 1 / (1 - beta^step)
};

template <class G, class W>
struct AdamFunction {
  static constexpr int kWidth = 4, kUnroll = 1;
  static constexpr bool kRows = false;
  Adam a;
  AdamFactors f;

  template <int kCount>
  struct Loaded {
    float gradient[kCount], master[kCount], first[kCount], second[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(static_cast<const G*>(a.gradient), piece.index, in.gradient);
    load_floats(a.master, piece.index, in.master);
    load_floats(a.first_moment, piece.index, in.first);
    load_floats(a.second_moment, piece.index, in.second);
  }
  template <int kCount>
  __device__ void store(Piece piece, Loaded<kCount>& in) const {
    const float scale = a.device_scale == nullptr ? a.gradient_scale : a.gradient_scale * *a.device_scale;
    for (int i = 0; i < kCount; ++i) {
      const float g = in.gradient[i] * scale;
      in.first[i] = f.decay_1 * in.first[i] + f.share_1 * g;
      in.second[i] = f.decay_2 * in.second[i] + f.share_2 * g * g;
      const float size = sqrtf(in.second[i] * f.inverse_correction_2) + a.epsilon;
      const float direction = __fdividef(in.first[i] * f.inverse_correction_1, size);
      in.master[i] -= a.learning_rate * (direction + a.weight_decay * in.master[i]);
    }
    store_floats(a.master, piece.index, in.master);
    store_floats(a.first_moment, piece.index, in.first);
    store_floats(a.second_moment, piece.index, in.second);
    if (a.weight != nullptr) store_floats(static_cast<W*>(a.weight), piece.index, in.master);
  }
};

constexpr int kSquareThreads = 256;
constexpr int kSquareUnroll = 4;

/// As many blocks for a count on every device, so that the order of the sum is the same.
template <class T>
__global__ void __launch_bounds__(kSquareThreads)
    squares_kernel(const T* x, float* partial, std::int64_t count, bool whole) {
  const std::int64_t vectors = whole ? count / kVector<T> : 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kSquareThreads;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kSquareThreads + threadIdx.x;
  float sum = 0;
  for (std::int64_t first = thread; first < vectors; first += step * kSquareUnroll) {
    Packed<T, kVector<T>> packed[kSquareUnroll];
#pragma unroll
    for (int u = 0; u < kSquareUnroll; ++u) {
      if (first + u * step < vectors) packed[u].load(x + (first + u * step) * kVector<T>);
    }
#pragma unroll
    for (int u = 0; u < kSquareUnroll; ++u) {
      if (first + u * step >= vectors) break;
      for (int i = 0; i < kVector<T>; ++i) sum += widen(packed[u].element[i]) * widen(packed[u].element[i]);
    }
  }
  for (std::int64_t i = vectors * kVector<T> + thread; i < count; i += step) sum += widen(x[i]) * widen(x[i]);
  sum = row_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kSumOfSquaresWorkspace) total_kernel(const float* partial, int parts, float* sum) {
  const float total = row_sum(static_cast<int>(threadIdx.x) < parts ? partial[threadIdx.x] : 0.0F);
  if (threadIdx.x == 0) *sum = total;
}

struct ClipFunction {
  static constexpr int kWidth = 1, kUnroll = 1;
  static constexpr bool kRows = false;
  ClipCoefficient a;

  template <int kCount>
  struct Loaded {};
  template <int kCount>
  __device__ void load(Piece, Loaded<kCount>&) const {}
  template <int kCount>
  __device__ void store(Piece, const Loaded<kCount>&) const {
    *a.coefficient = fminf(1.0F, a.max_norm / (sqrtf(*a.sum_of_squares) + 1e-6F));
  }
};

template <class G, class W>
cudaError_t launch_adam(const Adam& a, cudaStream_t stream) {
  const auto inverse_correction = [&](float beta) {
    return static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(beta), static_cast<double>(a.step))));
  };
  // 1 - beta of a float beta is exact in double; in float it would lose three digits of 1 - 0.999.
  const auto share = [](float beta) { return static_cast<float>(1.0 - static_cast<double>(beta)); };
  const AdamFactors factors{
      a.beta_1, share(a.beta_1), a.beta_2, share(a.beta_2), inverse_correction(a.beta_1), inverse_correction(a.beta_2)};
  const bool aligned = is_aligned(a.gradient) && is_aligned(a.master) && is_aligned(a.first_moment) &&
                       is_aligned(a.second_moment) && is_aligned(a.weight);
  return launch_map(AdamFunction<G, W>{a, factors}, a.count, 1, aligned, stream);
}

}  // namespace

cudaError_t adam(const Adam& a, cudaStream_t stream) {
  if (a.step < 1 || a.weight_storage == Storage::fp32) return cudaErrorInvalidValue;
  return with_type_of(a.weight_storage, [&](auto tag) {
    using W = typename decltype(tag)::type;
    if (a.gradient_storage == Storage::fp32) return launch_adam<float, W>(a, stream);
    if (a.gradient_storage == a.weight_storage) return launch_adam<W, W>(a, stream);
    return cudaErrorInvalidValue;
  });
}

cudaError_t sum_of_squares(const SumOfSquares& a, cudaStream_t stream) {
  if (a.count < 0) return cudaErrorInvalidValue;
  unsigned blocks = 0;
  const cudaError_t error = with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t most_useful = a.count / (kVector<T> * kSquareThreads) + 1;
    blocks = static_cast<unsigned>(std::min(kSumOfSquaresWorkspace, most_useful));
    const LaunchShape shape{dim3(blocks), dim3(kSquareThreads), kScratchFloats * sizeof(float)};
    return launch(squares_kernel<T>, shape, stream, static_cast<const T*>(a.x), a.workspace, a.count, is_aligned(a.x));
  });
  if (error != cudaSuccess) return error;
  const LaunchShape shape{dim3(1), dim3((blocks + 31) / 32 * 32), kScratchFloats * sizeof(float)};
  return launch(total_kernel, shape, stream, static_cast<const float*>(a.workspace), static_cast<int>(blocks), a.sum);
}

cudaError_t clip_coefficient(const ClipCoefficient& a, cudaStream_t stream) {
  return launch_map(ClipFunction{a}, 1, 1, false, stream);
}

}  // namespace foretrain::gpu
