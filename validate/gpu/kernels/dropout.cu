#include "validate/gpu/kernels/dropout.h"
#include "validate/gpu/kernels/map.cuh"

namespace foretrain::gpu {
namespace {

/// Draws which of kCount elements from number `first` on are kept. kCount is 1, or a multiple of 4 as `first` is.
struct Draw {
  RandomStream random;
  std::uint32_t threshold;
  float scale;  // of what is kept

  template <int kCount>
  __device__ void draw(std::int64_t first, bool (&kept)[kCount]) const {
    const auto number = static_cast<std::uint64_t>(first);
    if constexpr (kCount == 1) {
      const PhiloxWords words = random_quad(random, number / 4);
      const std::uint32_t lane = number % 4;
      const std::uint32_t low = lane == 0 ? words.word[0] : words.word[1];
      const std::uint32_t high = lane == 2 ? words.word[2] : words.word[3];
      kept[0] = (lane < 2 ? low : high) >= threshold;
    } else {
#pragma unroll
      for (int quad = 0; quad < kCount / 4; ++quad) {
        const PhiloxWords words = random_quad(random, number / 4 + quad);
#pragma unroll
        for (int i = 0; i < 4; ++i) kept[4 * quad + i] = words.word[i] >= threshold;
      }
    }
  }
};

Draw draw_of(float probability, RandomStream stream) {
  return {stream, drop_threshold(probability), 1.0F / (1.0F - probability)};
}

template <class T>
struct DropoutFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  const T* x;
  const T* bias;
  const T* residual;
  T* y;
  std::uint8_t* mask;
  std::int64_t first_element;
  Draw draw;

  template <int kCount>
  struct Loaded {
    float x[kCount], residual[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(x, piece.index, in.x);
    if (residual != nullptr) {
      load_floats(residual, piece.index, in.residual);
    } else {
      for (int i = 0; i < kCount; ++i) in.residual[i] = 0.0F;
    }
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    float shift[kCount] = {}, out[kCount], keep[kCount];
    if (bias != nullptr) load_floats(bias, piece.column, shift);
    bool kept[kCount];
    draw.draw(first_element + piece.index, kept);
    for (int i = 0; i < kCount; ++i) {
      keep[i] = kept[i] ? 1.0F : 0.0F;
      out[i] = in.residual[i] + (kept[i] ? (in.x[i] + shift[i]) * draw.scale : 0.0F);
    }
    store_floats(y, piece.index, out);
    if (mask != nullptr) store_floats(mask, piece.index, keep);
  }
};

template <class T>
struct DropoutBackwardFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 4;
  static constexpr bool kRows = false;
  const T* dy;
  const std::uint8_t* mask;
  T* dx;
  std::int64_t first_element;
  Draw draw;

  template <int kCount>
  struct Loaded {
    float dy[kCount], keep[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(dy, piece.index, in.dy);
    if (mask != nullptr) load_floats(mask, piece.index, in.keep);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    float out[kCount];
    if (mask != nullptr) {
      for (int i = 0; i < kCount; ++i) out[i] = in.keep[i] != 0.0F ? in.dy[i] * draw.scale : 0.0F;
    } else {
      bool kept[kCount];
      draw.draw(first_element + piece.index, kept);
      for (int i = 0; i < kCount; ++i) out[i] = kept[i] ? in.dy[i] * draw.scale : 0.0F;
    }
    store_floats(dx, piece.index, out);
  }
};

bool is_probability(float p) { return p >= 0.0F && p < 1.0F; }

}  // namespace

cudaError_t dropout_forward(const Dropout& a, cudaStream_t stream) {
  if (!is_probability(a.probability)) return cudaErrorInvalidValue;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const DropoutFunction<T> function{static_cast<const T*>(a.x),
                                      static_cast<const T*>(a.bias),
                                      static_cast<const T*>(a.residual),
                                      static_cast<T*>(a.y),
                                      a.mask,
                                      a.first_element,
                                      draw_of(a.probability, a.stream)};
    const bool aligned = is_aligned(a.x) && is_aligned(a.bias) && is_aligned(a.residual) && is_aligned(a.y) &&
                         is_aligned(a.mask) && a.first_element % 4 == 0;
    return launch_map(function, a.rows * a.cols, a.cols, aligned, stream);
  });
}

cudaError_t dropout_backward(const DropoutBackward& a, cudaStream_t stream) {
  if (!is_probability(a.probability)) return cudaErrorInvalidValue;
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const DropoutBackwardFunction<T> function{static_cast<const T*>(a.dy), a.mask, static_cast<T*>(a.dx),
                                              a.first_element, draw_of(a.probability, a.stream)};
    const bool aligned = is_aligned(a.dy) && is_aligned(a.mask) && is_aligned(a.dx) && a.first_element % 4 == 0;
    return launch_map(function, a.count, 1, aligned, stream);
  });
}

}  // namespace foretrain::gpu
