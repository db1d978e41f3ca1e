/// Rounding to the number formats of GPUs, bit by bit, on the CPU.
#pragma once

#include <cstdint>

namespace foretrain::reference {

/// A binary floating-point format by its limits.
struct NumberFormat {
  int mantissa_bits;      ///< stored ones
  int smallest_exponent;  ///< of a normal number
  double largest;         ///< finite
  bool saturates;         ///< beyond `largest`: true gives `largest`, false infinity

  /// Half a unit in the last place, relative: the largest error of rounding a normal number.
  [[nodiscard]] constexpr double unit_roundoff() const { return 0.5 / static_cast<double>(1LL << mantissa_bits); }
};

// Source: IEEE 754-2019 table 3.5 (binary32, binary16); bfloat16 is binary32 without its low 16 bits.
inline constexpr NumberFormat kFp32 = {23, -126, 3.4028234663852886e38, false};
inline constexpr NumberFormat kFp16 = {10, -14, 65504.0, false};
inline constexpr NumberFormat kBf16 = {7, -126, 3.3895313892515355e38, false};
/// Source: Micikevicius et al. 2022, "FP8 formats for deep learning", table 1; casts in training saturate.
inline constexpr NumberFormat kE4m3 = {3, -6, 448.0, true};

/// The nearest number of `format`; ties go to the even one. NaN stays NaN.
double rounded(double value, const NumberFormat& format);

std::uint16_t bf16_bits(float value);
float from_bf16_bits(std::uint16_t bits);
std::uint16_t fp16_bits(float value);
float from_fp16_bits(std::uint16_t bits);
std::uint8_t e4m3_bits(float value);
float from_e4m3_bits(std::uint8_t bits);

}  // namespace foretrain::reference
