#include "base/units.h"

#include <concepts>

#include <doctest/doctest.h>

using namespace foretrain;

TEST_CASE("A size over a bandwidth is a time, and dimensions that cancel leave a double") {
  const auto time = 440 * MB / (100 * GB_per_s);
  static_assert(std::same_as<decltype(time), const Seconds>);
  CHECK(time / milliseconds == doctest::Approx(4.4));  // 440e6 / 100e9 = 4.4e-3

  static_assert(std::same_as<decltype(GB / MB), double>);
  static_assert(std::same_as<decltype(seconds * MHz), double>);
  static_assert(std::same_as<decltype(1.0 / seconds), Hertz>);
  static_assert(std::same_as<decltype(TFLOP_per_s * seconds), Flops>);
  static_assert(std::same_as<decltype(bytes / GB_per_s), Seconds>);
  CHECK(2.0 * (GB / MB) + 1.0 == 2001.0);
}

TEST_CASE("GB counts in thousands, GiB in 1024s, Gbit in eighths of a byte") {
  CHECK(GB.base() == 1e9);
  CHECK(GiB.base() == 1073741824.0);  // 2^30
  CHECK(MiB.base() == 1048576.0);
  CHECK(Gbit_per_s.base() == 125e6);
  CHECK((400 * Gbit_per_s) / GB_per_s == 50.0);
}

TEST_CASE("Quantities add, scale and compare like their numbers") {
  Bytes sum = 3 * GB;
  sum += 1 * GB;
  sum -= 500 * MB;
  sum *= 2;
  sum /= 7;
  CHECK(sum == GB);  // (3 + 1 - 0.5) * 2 / 7 = 1
  CHECK(-GB < Bytes{});
  CHECK(max(GB, GiB) == GiB);
  CHECK(min(GB, GiB) == GB);
  CHECK(Seconds{} == 0 * seconds);
}

TEST_CASE("Whole byte counts are exact up to 2^53") {
  const Bytes most = Bytes::from_base(9007199254740992.0);
  CHECK((most - 1 * bytes) + 1 * bytes == most);
  CHECK(most - 1 * bytes != most);
}

TEST_CASE("ceil_div and round_up hold at multiples, between them and near the largest integer") {
  CHECK(ceil_div(0, 4) == 0);
  CHECK(ceil_div(8, 4) == 2);
  CHECK(ceil_div(9, 4) == 3);
  CHECK(round_up(128257, 128) == 128384);  // 1002 * 128 = 128256 is one short; 1003 * 128 = 128384
  CHECK(ceil_div(INT64_MAX, 2) == INT64_MAX / 2 + 1);
}
