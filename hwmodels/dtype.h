/// Number formats and their width.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/units.h"

namespace foretrain {

/// `fp4` stands for nvfp4/mxfp4, `fp8` for any 8-bit float; block scales are added where they are stored.
enum class DType { fp32, tf32, fp16, bf16, fp8, fp4 };
inline constexpr std::array<std::string_view, 6> kDTypeNames = {"fp32", "tf32", "fp16", "bf16", "fp8", "fp4"};

/// Bytes of one element in memory (tf32 is stored as fp32).
constexpr double bytes_per_element(DType t) {
  switch (t) {
    case DType::fp32:
    case DType::tf32:
      return 4;
    case DType::fp16:
    case DType::bf16:
      return 2;
    case DType::fp8:
      return 1;
    case DType::fp4:
      return 0.5;
  }
  return 0;
}

}  // namespace foretrain
