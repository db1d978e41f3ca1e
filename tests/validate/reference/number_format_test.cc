#include "validate/reference/number_format.h"

#include <cmath>
#include <initializer_list>
#include <limits>

#include <doctest/doctest.h>

using namespace foretrain::reference;

TEST_CASE("Known numbers have their known bits") {
  CHECK(fp16_bits(1.0F) == 0x3c00);
  CHECK(fp16_bits(-2.0F) == 0xc000);
  CHECK(fp16_bits(65504.0F) == 0x7bff);
  CHECK(fp16_bits(65520.0F) == 0x7c00);          // half-way to 65536, which is infinity
  CHECK(fp16_bits(std::ldexp(1.0F, -24)) == 1);  // smallest subnormal
  CHECK(fp16_bits(std::ldexp(1.0F, -25)) == 0);  // a tie goes to the even 0
  CHECK(fp16_bits(1.0F / 3.0F) == 0x3555);
  CHECK(bf16_bits(1.0F) == 0x3f80);
  CHECK(bf16_bits(3.140625F) == 0x4049);
  CHECK(bf16_bits(1.0F + std::ldexp(1.0F, -8)) == 0x3f80);      // tie to even, down
  CHECK(bf16_bits(1.0F + 3 * std::ldexp(1.0F, -8)) == 0x3f82);  // tie to even, up
  CHECK(e4m3_bits(448.0F) == 0x7e);
  CHECK(e4m3_bits(1e9F) == 0x7e);  // saturates
  CHECK(e4m3_bits(-std::ldexp(1.0F, -9)) == 0x81);
  CHECK(e4m3_bits(1.0F) == 0x38);
  CHECK(std::isnan(from_fp16_bits(fp16_bits(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(from_bf16_bits(bf16_bits(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(from_e4m3_bits(e4m3_bits(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("Every bit pattern that is a number comes back as itself, and bf16 is the top half of binary32") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto b = static_cast<std::uint16_t>(bits);
    const float half = from_fp16_bits(b), brain = from_bf16_bits(b);
    if (!std::isnan(half)) REQUIRE(fp16_bits(half) == b);
    if (!std::isnan(brain)) {
      REQUIRE(bf16_bits(brain) == b);
      const std::uint32_t whole = bits << 16;
      float same = 0;
      __builtin_memcpy(&same, &whole, sizeof same);
      REQUIRE(same == brain);
    }
    const float byte = from_e4m3_bits(static_cast<std::uint8_t>(bits));
    if (!std::isnan(byte)) REQUIRE(e4m3_bits(byte) == static_cast<std::uint8_t>(bits));
  }
}

TEST_CASE("Rounding errs by half a unit in the last place at most") {
  for (const NumberFormat& format : {kBf16, kFp16, kE4m3}) {
    for (double x = 0.02; x < 200; x *= 1.0173) {
      CHECK(std::fabs(rounded(x, format) - x) <= format.unit_roundoff() * x);
    }
  }
}
