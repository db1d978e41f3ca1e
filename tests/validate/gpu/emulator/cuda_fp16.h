#pragma once

#include "validate/reference/number_format.h"

struct __half {
  std::uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};
inline float __half2float(__half value) { return foretrain::reference::from_fp16_bits(value.bits); }
inline __half __float2half_rn(float value) { return {foretrain::reference::fp16_bits(value)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
