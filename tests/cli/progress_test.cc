#include "cli/progress.h"

#include <doctest/doctest.h>

using namespace foretrain::cli;

TEST_CASE("a progress line shows share, rate and the time that the rest takes at the same pace") {
  // A third of the parts in 4 s: 8 s are left. 2.4 million plans in 4 s: 0.6 million a second. The bar has 30 places.
  const Advance a{.what = "searching", .unit = "plans", .done = 10, .of = 30, .count = 2'400'000, .seconds = 4};
  CHECK(progress_line(a, 120) == "searching [##########--------------------]  33 %  600.0 k plans/s  8 s left");
}

TEST_CASE("minutes are minutes, and the end is the end") {
  // 1 of 51 parts in 4 s leaves 50 x 4 = 200 s.
  const Advance slow{.what = "searching", .unit = "plans", .done = 1, .of = 51, .count = 40, .seconds = 4};
  CHECK(progress_line(slow, 120) == "searching [------------------------------]   2 %  10 plans/s  3 min 20 s left");
  const Advance all{.what = "searching", .unit = "plans", .done = 51, .of = 51, .count = 40, .seconds = 4};
  CHECK(progress_line(all, 120) == "searching [##############################] 100 %  10 plans/s  0 s left");
  const Advance none{.what = "searching", .unit = "plans", .done = 0, .of = 51, .count = 0, .seconds = 0};
  CHECK(progress_line(none, 120) == "searching [------------------------------]   0 %");
}

TEST_CASE("no progress line is wider than the terminal") {
  const Advance a{.what = "searching", .unit = "plans", .done = 10, .of = 30, .count = 2'400'000, .seconds = 4};
  for (std::size_t width = 1; width < 100; ++width) CHECK(progress_line(a, width).size() <= width);
  CHECK(progress_line(a, 25) == "searching [##-----]  33 %");
}
