#include "validate/gpu/kernels/activation.h"
#include "validate/gpu/kernels/map.cuh"
#include "validate/gpu/kernels/math.cuh"

namespace foretrain::gpu {
namespace {

/// Adds the bias of a piece's columns, where there is one.
template <class T, int kCount>
__device__ void add_bias(const T* bias, Piece piece, float (&x)[kCount]) {
  if (bias == nullptr) return;
  float values[kCount];
  load_floats(bias, piece.column, values);
  for (int i = 0; i < kCount; ++i) x[i] += values[i];
}

template <class T, class Function>
struct ForwardFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  const T* x;
  const T* bias;
  T* y;

  template <int kCount>
  struct Loaded {
    float x[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(x, piece.index, in.x);
  }
  template <int kCount>
  __device__ void store(Piece piece, Loaded<kCount>& in) const {
    add_bias(bias, piece, in.x);
    float out[kCount];
    for (int i = 0; i < kCount; ++i) out[i] = Function::value(in.x[i]);
    store_floats(y, piece.index, out);
  }
};

template <class T, class Function>
struct BackwardFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  const T* x;
  const T* bias;
  const T* dy;
  T* dx;

  template <int kCount>
  struct Loaded {
    float x[kCount], dy[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    load_floats(x, piece.index, in.x);
    load_floats(dy, piece.index, in.dy);
  }
  template <int kCount>
  __device__ void store(Piece piece, Loaded<kCount>& in) const {
    add_bias(bias, piece, in.x);
    float out[kCount];
    for (int i = 0; i < kCount; ++i) out[i] = in.dy[i] * Function::slope(in.x[i]);
    store_floats(dx, piece.index, out);
  }
};

template <class T, class Function>
struct GatedFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 2;
  static constexpr bool kRows = true;
  const T* gate_up;
  T* y;
  std::int64_t cols;

  template <int kCount>
  struct Loaded {
    float gate[kCount], up[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    const std::int64_t gate = piece.index + piece.row * cols;  // the row before this one held 2 cols
    load_floats(gate_up, gate, in.gate);
    load_floats(gate_up, gate + cols, in.up);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    float out[kCount];
    for (int i = 0; i < kCount; ++i) out[i] = Function::value(in.gate[i]) * in.up[i];
    store_floats(y, piece.index, out);
  }
};

template <class T, class Function>
struct GatedBackwardFunction {
  static constexpr int kWidth = kVector<T>, kUnroll = 1;
  static constexpr bool kRows = true;
  const T* gate_up;
  const T* dy;
  T* dgate_up;
  std::int64_t cols;

  template <int kCount>
  struct Loaded {
    float gate[kCount], up[kCount], dy[kCount];
  };
  template <int kCount>
  __device__ void load(Piece piece, Loaded<kCount>& in) const {
    const std::int64_t gate = piece.index + piece.row * cols;
    load_floats(gate_up, gate, in.gate);
    load_floats(gate_up, gate + cols, in.up);
    load_floats(dy, piece.index, in.dy);
  }
  template <int kCount>
  __device__ void store(Piece piece, const Loaded<kCount>& in) const {
    const std::int64_t gate = piece.index + piece.row * cols;
    float dgate[kCount], dup[kCount];
    for (int i = 0; i < kCount; ++i) {
      dgate[i] = in.dy[i] * in.up[i] * Function::slope(in.gate[i]);
      dup[i] = in.dy[i] * Function::value(in.gate[i]);
    }
    store_floats(dgate_up, gate, dgate);
    store_floats(dgate_up, gate + cols, dup);
  }
};

/// Calls launch_with(T, F) for the storage and one of two functions.
template <class First, class Second, class Launch>
cudaError_t with_types(Storage storage, bool first, Launch launch_with) {
  return with_type_of(storage, [&](auto tag) {
    if (first) return launch_with(tag, TypeTag<First>{});
    return launch_with(tag, TypeTag<Second>{});
  });
}

}  // namespace

cudaError_t activation_forward(const Activation& a, cudaStream_t stream) {
  if (a.kind == ActivationKind::silu) return cudaErrorInvalidValue;
  return with_types<Relu, Gelu>(a.storage, a.kind == ActivationKind::relu, [&](auto tag, auto function_tag) {
    using T = typename decltype(tag)::type;
    const ForwardFunction<T, typename decltype(function_tag)::type> function{
        static_cast<const T*>(a.x), static_cast<const T*>(a.bias), static_cast<T*>(a.y)};
    const bool aligned = is_aligned(a.x) && is_aligned(a.bias) && is_aligned(a.y);
    return launch_map(function, a.rows * a.cols, a.cols, aligned, stream);
  });
}

cudaError_t activation_backward(const ActivationBackward& a, cudaStream_t stream) {
  if (a.kind == ActivationKind::silu) return cudaErrorInvalidValue;
  return with_types<Relu, Gelu>(a.storage, a.kind == ActivationKind::relu, [&](auto tag, auto function_tag) {
    using T = typename decltype(tag)::type;
    const BackwardFunction<T, typename decltype(function_tag)::type> function{
        static_cast<const T*>(a.x), static_cast<const T*>(a.bias), static_cast<const T*>(a.dy), static_cast<T*>(a.dx)};
    const bool aligned = is_aligned(a.x) && is_aligned(a.bias) && is_aligned(a.dy) && is_aligned(a.dx);
    return launch_map(function, a.rows * a.cols, a.cols, aligned, stream);
  });
}

cudaError_t gated_forward(const Gated& a, cudaStream_t stream) {
  if (a.kind == ActivationKind::relu) return cudaErrorInvalidValue;
  return with_types<Silu, Gelu>(a.storage, a.kind == ActivationKind::silu, [&](auto tag, auto function_tag) {
    using T = typename decltype(tag)::type;
    const GatedFunction<T, typename decltype(function_tag)::type> function{static_cast<const T*>(a.gate_up),
                                                                           static_cast<T*>(a.y), a.cols};
    return launch_map(function, a.rows * a.cols, a.cols, is_aligned(a.gate_up) && is_aligned(a.y), stream);
  });
}

cudaError_t gated_backward(const GatedBackward& a, cudaStream_t stream) {
  if (a.kind == ActivationKind::relu) return cudaErrorInvalidValue;
  return with_types<Silu, Gelu>(a.storage, a.kind == ActivationKind::silu, [&](auto tag, auto function_tag) {
    using T = typename decltype(tag)::type;
    const GatedBackwardFunction<T, typename decltype(function_tag)::type> function{
        static_cast<const T*>(a.gate_up), static_cast<const T*>(a.dy), static_cast<T*>(a.dgate_up), a.cols};
    const bool aligned = is_aligned(a.gate_up) && is_aligned(a.dy) && is_aligned(a.dgate_up);
    return launch_map(function, a.rows * a.cols, a.cols, aligned, stream);
  });
}

}  // namespace foretrain::gpu
