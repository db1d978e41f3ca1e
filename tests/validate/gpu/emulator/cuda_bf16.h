#pragma once

#include "validate/reference/number_format.h"

struct __nv_bfloat16 {
  std::uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline float __bfloat162float(__nv_bfloat16 value) { return foretrain::reference::from_bf16_bits(value.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return {foretrain::reference::bf16_bits(value)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
