#include "base/time_point.h"

#include <doctest/doctest.h>

using namespace foretrain;

TEST_CASE("Durations round to the nearest picosecond and come back") {
  CHECK(to_picoseconds(1.5 * nanoseconds).count == 1500);
  CHECK(to_picoseconds(Seconds::from_base(0.4e-12)).count == 0);
  CHECK(to_picoseconds(Seconds::from_base(0.6e-12)).count == 1);
  CHECK(to_seconds(Picoseconds{2'000'000'000'000}) == 2 * seconds);
  // 30 days = 2,592,000 s = 2.592e18 ps, below 2^63 = 9.22e18.
  CHECK(to_picoseconds(kLongestSimulatedTime).count == 2'592'000'000'000'000'000);
}

TEST_CASE("An instant moves by a duration; two instants differ by one") {
  const TimePoint start{1000};
  const TimePoint end = start + Picoseconds{250};
  CHECK(end - start == Picoseconds{250});
  CHECK(end - Picoseconds{250} == start);
  CHECK(start < end);
  Picoseconds total = 3 * Picoseconds{5};
  total += Picoseconds{1};
  CHECK(total.count == 16);
}
