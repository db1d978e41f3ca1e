#include "validate/gpu/kernels/embedding.h"
#include "validate/gpu/kernels/map.cuh"

namespace foretrain::gpu {
namespace {

/// Which table row a token has here, or -1.
struct Share {
  const std::int64_t* tokens;
  std::int64_t first_token, vocabulary;

  __device__ std::int64_t row_of(std::int64_t position) const {
    const std::int64_t row = tokens[position] - first_token;
    return row >= 0 && row < vocabulary ? row : -1;
  }
};

template <class T>
struct EmbeddingFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 4;
  static constexpr bool kRows = true;
  Share share;
  const T* table;
  T* out;
  std::int64_t hidden;

  template <int kCount>
  using Loaded = Packed<T, kCount>;
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    const std::int64_t row = share.row_of(piece.row);
    if (row < 0) {
      for (int i = 0; i < kCount; ++i) in.element[i] = narrow<T>(0.0F);
    } else {
      in.load(table + row * hidden + piece.column);
    }
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    in.store(out + piece.index);
  }
};

/// One element a lane, so that a warp adds to 128 consecutive bytes at once; with vectors a lane it would touch every
/// sector eight times.
template <class T>
struct EmbeddingBackwardFunction {
  static constexpr int kWidth = 1, kUnroll = 8;
  static constexpr bool kRows = true;
  Share share;
  const T* dy;
  float* gradient;
  std::int64_t hidden;

  template <int kCount>
  struct Loaded {
    float dy[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(dy, piece.index, in.dy);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    const std::int64_t row = share.row_of(piece.row);
    if (row < 0) return;
    atomicAdd(gradient + row * hidden + piece.column, in.dy[0]);
  }
};

}  // namespace

cudaError_t embedding_forward(const Embedding& a, cudaStream_t stream) {
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const EmbeddingFunction<T> function{
        {a.tokens, a.first_token, a.vocabulary}, static_cast<const T*>(a.table), static_cast<T*>(a.out), a.hidden};
    return launch_map(function, a.count * a.hidden, a.hidden, is_aligned(a.table) && is_aligned(a.out), stream);
  });
}

cudaError_t embedding_backward(const EmbeddingBackward& a, cudaStream_t stream) {
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const EmbeddingBackwardFunction<T> function{
        {a.tokens, a.first_token, a.vocabulary}, static_cast<const T*>(a.dy), a.gradient, a.hidden};
    return launch_map(function, a.count * a.hidden, a.hidden, true, stream);
  });
}

}  // namespace foretrain::gpu
