#include <cmath>

#include "validate/gpu/kernels/map.cuh"
#include "validate/gpu/kernels/rope.h"

namespace foretrain::gpu {
namespace {

/// Rows are heads of tokens, columns the pairs of a head.
template <class T>
struct RopeFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  const T* x;
  T* y;
  const float* table;
  std::uint32_t heads, half, positions, tokens_per_position;
  std::int64_t token_stride;
  float direction;

  template <int kCount>
  struct Loaded {
    float low[kCount], high[kCount];
  };
  __device__ std::uint32_t token_of(Piece piece) const { return static_cast<std::uint32_t>(piece.row) / heads; }
  __device__ std::int64_t at(Piece piece) const {
    const std::uint32_t token = token_of(piece);
    const std::uint32_t head = static_cast<std::uint32_t>(piece.row) - token * heads;
    return token * token_stride + std::int64_t{head} * 2 * half + piece.column;
  }
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(x, at(piece), in.low);
    load_floats(x, at(piece) + half, in.high);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    const std::uint32_t position = token_of(piece) / tokens_per_position % positions;
    float turn[2 * kCount], low[kCount], high[kCount];
    const float* angles = table + (std::int64_t{position} * half + piece.column) * 2;
    if constexpr (kCount == 1) {
      turn[0] = angles[0];
      turn[1] = angles[1];
    } else {
      load_floats(angles, 0, turn);
    }
    for (int i = 0; i < kCount; ++i) {
      const float cosine = turn[2 * i], sine = turn[2 * i + 1] * direction;
      low[i] = in.low[i] * cosine - in.high[i] * sine;
      high[i] = in.high[i] * cosine + in.low[i] * sine;
    }
    store_floats(y, at(piece), low);
    store_floats(y, at(piece) + half, high);
  }
};

/// Angles in double: in fp32 a position of 10^5 would lose two decimal digits of the angle.
struct RopeTableFunction {
  static constexpr int kWidth = 1, kUnroll = 4;
  static constexpr bool kRows = true;
  float* table;
  double exponent_step;  // -2 / head_dim * log2(base)

  template <int kCount>
  struct Loaded {};
  template <int kCount>
  __device__ void load(Piece, Loaded<kCount>&) const {}
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>&) const {
    double cosine = 0, sine = 0;
    sincos(static_cast<double>(piece.row) * exp2(exponent_step * piece.column), &sine, &cosine);
    table[2 * piece.index] = static_cast<float>(cosine);
    table[2 * piece.index + 1] = static_cast<float>(sine);
  }
};

}  // namespace

cudaError_t rope_table(const RopeTable& a, cudaStream_t stream) {
  if (a.head_dim < 2 || a.head_dim % 2 != 0 || !(a.base > 0)) return cudaErrorInvalidValue;
  const std::int64_t half = a.head_dim / 2;
  const RopeTableFunction function{a.table, -2.0 / static_cast<double>(a.head_dim) * std::log2(a.base)};
  return launch_map(function, a.positions * half, half, false, stream);
}

cudaError_t rope(const Rope& a, cudaStream_t stream) {
  const bool odd = a.head_dim < 2 || a.head_dim % 2 != 0 || a.heads < 1 || a.positions < 1 || a.tokens_per_position < 1;
  if (odd || a.tokens * a.heads > 0xffffffffLL || a.positions > 0xffffffffLL) return cudaErrorInvalidValue;
  const std::int64_t stride = a.token_stride == 0 ? a.heads * a.head_dim : a.token_stride;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const RopeFunction<T> function{static_cast<const T*>(a.x),
                                   static_cast<T*>(a.y),
                                   a.table,
                                   static_cast<std::uint32_t>(a.heads),
                                   static_cast<std::uint32_t>(a.head_dim / 2),
                                   static_cast<std::uint32_t>(a.positions),
                                   static_cast<std::uint32_t>(a.tokens_per_position),
                                   stride,
                                   a.backward ? -1.0F : 1.0F};
    const bool aligned = is_aligned(a.x) && is_aligned(a.y) && is_aligned(a.table) && stride % kVector<T> == 0;
    return launch_map(function, a.tokens * a.heads * (a.head_dim / 2), a.head_dim / 2, aligned, stream);
  });
}

}  // namespace foretrain::gpu
