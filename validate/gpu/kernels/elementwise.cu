#include "validate/gpu/kernels/elementwise.h"
#include "validate/gpu/kernels/map.cuh"

namespace foretrain::gpu {
namespace {

template <class T>
struct AddFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = false;
  const T* a;
  const T* b;
  T* sum;

  template <int kCount>
  struct Loaded {
    float a[kCount], b[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(a, piece.index, in.a);
    load_floats(b, piece.index, in.b);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    float out[kCount];
    for (int i = 0; i < kCount; ++i) out[i] = in.a[i] + in.b[i];
    store_floats(sum, piece.index, out);
  }
};

/// y = x * factor from one format to another or the same; pieces of 16 bytes on the narrower side.
template <class From, class To>
struct ScaleFunction {
  static constexpr int kNarrowest = sizeof(From) < sizeof(To) ? sizeof(From) : sizeof(To);
  static constexpr int kWidth = kNarrowest == 1 ? 8 : 16 / kNarrowest, kUnroll = 4;
  static constexpr bool kRows = false;
  const From* x;
  To* y;
  float factor;
  const float* device_factor;

  template <int kCount>
  struct Loaded {
    float x[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(x, piece.index, in.x);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    const float product = device_factor == nullptr ? factor : factor * *device_factor;
    float out[kCount];
    for (int i = 0; i < kCount; ++i) out[i] = in.x[i] * product;
    store_floats(y, piece.index, out);
  }
};

struct CopyFunction {
  static constexpr int kWidth = 16, kUnroll = 4;
  static constexpr bool kRows = false;
  const std::uint8_t* from;
  std::uint8_t* to;

  template <int kCount>
  using Loaded = Packed<std::uint8_t, kCount>;
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    if constexpr (kCount == 1) {
      in.element[0] = from[piece.index];
    } else {
      in.load(from + piece.index);
    }
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    if constexpr (kCount == 1) {
      to[piece.index] = in.element[0];
    } else {
      in.store(to + piece.index);
    }
  }
};

struct ZeroFunction {
  static constexpr int kWidth = 16, kUnroll = 4;
  static constexpr bool kRows = false;
  std::uint8_t* to;

  template <int kCount>
  struct Loaded {};
  template <int kCount>
  __device__ void load(Piece, Loaded<kCount>&) const {}
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>&) const {
    Packed<std::uint8_t, kCount> none = {};
    if constexpr (kCount == 1) {
      to[piece.index] = 0;
    } else {
      none.store(to + piece.index);
    }
  }
};

template <class From, class To>
cudaError_t launch_scale(const void* x, void* y, std::int64_t count, float factor, const float* device_factor,
                         cudaStream_t stream) {
  const ScaleFunction<From, To> function{static_cast<const From*>(x), static_cast<To*>(y), factor, device_factor};
  return launch_map(function, count, 1, is_aligned(x) && is_aligned(y), stream);
}

}  // namespace

cudaError_t add(const Add& a, cudaStream_t stream) {
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const AddFunction<T> function{static_cast<const T*>(a.a), static_cast<const T*>(a.b), static_cast<T*>(a.sum)};
    return launch_map(function, a.count, 1, is_aligned(a.a) && is_aligned(a.b) && is_aligned(a.sum), stream);
  });
}

cudaError_t scale(const Scale& a, cudaStream_t stream) {
  return with_type_of(a.storage, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return launch_scale<T, T>(a.x, a.y, a.count, a.factor, a.device_factor, stream);
  });
}

cudaError_t cast(const Cast& a, cudaStream_t stream) {
  return with_type_of(a.from, [&](auto tag) {
    using From = typename decltype(tag)::type;
    if (a.to == Storage::e4m3) return launch_scale<From, E4m3>(a.x, a.y, a.count, a.factor, nullptr, stream);
    return with_type_of(a.to, [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      return launch_scale<From, To>(a.x, a.y, a.count, a.factor, nullptr, stream);
    });
  });
}

cudaError_t copy(const Copy& a, cudaStream_t stream) {
  const CopyFunction function{static_cast<const std::uint8_t*>(a.from), static_cast<std::uint8_t*>(a.to)};
  return launch_map(function, a.bytes, 1, is_aligned(a.from) && is_aligned(a.to), stream);
}

cudaError_t zero(const Zero& a, cudaStream_t stream) {
  return launch_map(ZeroFunction{static_cast<std::uint8_t*>(a.to)}, a.bytes, 1, is_aligned(a.to), stream);
}

}  // namespace foretrain::gpu
