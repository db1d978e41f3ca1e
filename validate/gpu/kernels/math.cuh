/// Functions of one number, by the fast exponential: relative error about 2^-21 over the range that matters here.
#pragma once

#include <cuda_runtime.h>

namespace foretrain::gpu {

inline __device__ float sigmoid(float x) { return __fdividef(1.0F, 1.0F + __expf(-x)); }

struct Relu {
  static __device__ float value(float x) { return fmaxf(x, 0.0F); }
  static __device__ float slope(float x) { return x > 0.0F ? 1.0F : 0.0F; }
};

struct Silu {
  static __device__ float value(float x) { return x * sigmoid(x); }
  static __device__ float slope(float x) {
    const float s = sigmoid(x);
    return s * (1.0F + x * (1.0F - s));
  }
};

/// The tanh form; (1 + tanh u) / 2 is sigmoid(2 u). Source: Hendrycks and Gimpel 2016, section 2.
struct Gelu {
  static constexpr float kTwiceRootTwoOverPi = 1.5957691216057308F;
  static constexpr float kCubic = 0.044715F;
  static __device__ float value(float x) { return x * sigmoid(kTwiceRootTwoOverPi * x * (1.0F + kCubic * x * x)); }
  static __device__ float slope(float x) {
    const float s = sigmoid(kTwiceRootTwoOverPi * x * (1.0F + kCubic * x * x));
    return s * (1.0F + x * (1.0F - s) * kTwiceRootTwoOverPi * (1.0F + 3.0F * kCubic * x * x));
  }
};

}  // namespace foretrain::gpu
