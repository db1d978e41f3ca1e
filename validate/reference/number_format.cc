#include "validate/reference/number_format.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretrain::reference {
namespace {

/// Sign, exponent and mantissa of `value` in a format of `exponent_bits`; infinities and NaNs have all exponent bits.
std::uint32_t ieee_bits(double value, const NumberFormat& format, int exponent_bits) {
  const std::uint32_t sign = std::signbit(value) ? 1U << (exponent_bits + format.mantissa_bits) : 0U;
  const std::uint32_t all_exponent_bits = ((1U << exponent_bits) - 1U) << format.mantissa_bits;
  if (std::isnan(value)) return sign | all_exponent_bits | (1U << (format.mantissa_bits - 1));
  const double magnitude = std::fabs(rounded(value, format));
  if (std::isinf(magnitude)) return sign | all_exponent_bits;
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), format.smallest_exponent);
  // A normal number has its leading one at bit mantissa_bits, which adds the 1 that the biased exponent lacks here.
  const auto mantissa = static_cast<std::uint32_t>(std::ldexp(magnitude, format.mantissa_bits - exponent));
  const auto biased = static_cast<std::uint32_t>(exponent - format.smallest_exponent);
  return sign | ((biased << format.mantissa_bits) + mantissa);
}

double from_ieee_bits(std::uint32_t bits, const NumberFormat& format, int exponent_bits) {
  const std::uint32_t mantissa = bits & ((1U << format.mantissa_bits) - 1U);
  const auto biased = static_cast<int>((bits >> format.mantissa_bits) & ((1U << exponent_bits) - 1U));
  const double sign = ((bits >> (exponent_bits + format.mantissa_bits)) & 1U) != 0 ? -1.0 : 1.0;
  if (!format.saturates && biased == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  const std::uint32_t whole = biased == 0 ? mantissa : mantissa | (1U << format.mantissa_bits);
  const int exponent = std::max(biased, 1) - 1 + format.smallest_exponent;
  return sign * std::ldexp(static_cast<double>(whole), exponent - format.mantissa_bits);
}

constexpr std::uint8_t kE4m3Nan = 0x7f;  // the only NaN but for its sign; there is no infinity

}  // namespace

double rounded(double value, const NumberFormat& format) {
  if (std::isnan(value) || value == 0) return value;
  const double beyond = format.saturates ? format.largest : std::numeric_limits<double>::infinity();
  if (std::isinf(value)) return std::copysign(beyond, value);
  const int exponent = std::max(std::ilogb(value), format.smallest_exponent);
  const double unit = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double nearest = std::nearbyint(value / unit) * unit;  // the default rounding mode: ties to even
  return std::fabs(nearest) > format.largest ? std::copysign(beyond, value) : nearest;
}

std::uint16_t bf16_bits(float value) { return static_cast<std::uint16_t>(ieee_bits(value, kBf16, 8)); }
float from_bf16_bits(std::uint16_t bits) { return static_cast<float>(from_ieee_bits(bits, kBf16, 8)); }
std::uint16_t fp16_bits(float value) { return static_cast<std::uint16_t>(ieee_bits(value, kFp16, 5)); }
float from_fp16_bits(std::uint16_t bits) { return static_cast<float>(from_ieee_bits(bits, kFp16, 5)); }

std::uint8_t e4m3_bits(float value) {
  if (std::isnan(value)) return static_cast<std::uint8_t>(kE4m3Nan | (std::signbit(value) ? 0x80 : 0));
  return static_cast<std::uint8_t>(ieee_bits(value, kE4m3, 4));
}

float from_e4m3_bits(std::uint8_t bits) {
  if ((bits & kE4m3Nan) == kE4m3Nan) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(from_ieee_bits(bits, kE4m3, 4));
}

}  // namespace foretrain::reference
