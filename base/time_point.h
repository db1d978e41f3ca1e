/// Integer picosecond instants and durations: the simulator's clock, free of rounding order.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>

#include "base/check.h"
#include "base/units.h"

namespace foretrain {

/// A span of simulated time in whole picoseconds. Range +-106 days.
struct Picoseconds {
  std::int64_t count = 0;
  friend constexpr auto operator<=>(Picoseconds, Picoseconds) = default;
  friend constexpr Picoseconds operator+(Picoseconds a, Picoseconds b) { return {a.count + b.count}; }
  friend constexpr Picoseconds operator-(Picoseconds a, Picoseconds b) { return {a.count - b.count}; }
  friend constexpr Picoseconds operator*(std::int64_t n, Picoseconds a) { return {n * a.count}; }
  constexpr Picoseconds& operator+=(Picoseconds b) {
    count += b.count;
    return *this;
  }
};

/// The longest step that the clock is used for: 30 days. Longer times are refused before simulation.
inline constexpr Seconds kLongestSimulatedTime = 30.0 * 86400 * seconds;

/// Rounds to the nearest picosecond. Needs 0 <= t <= kLongestSimulatedTime.
inline Picoseconds to_picoseconds(Seconds t) {
  FORETRAIN_CHECK(t.base() >= 0 && t <= kLongestSimulatedTime);
  return {std::llround(t.base() * 1e12)};
}
constexpr Seconds to_seconds(Picoseconds p) { return Seconds::from_base(static_cast<double>(p.count) * 1e-12); }

/// An instant: picoseconds since the simulation began.
struct TimePoint {
  std::int64_t ps = 0;
  friend constexpr auto operator<=>(TimePoint, TimePoint) = default;
  friend constexpr TimePoint operator+(TimePoint t, Picoseconds d) { return {t.ps + d.count}; }
  friend constexpr TimePoint operator-(TimePoint t, Picoseconds d) { return {t.ps - d.count}; }
  friend constexpr Picoseconds operator-(TimePoint a, TimePoint b) { return {a.ps - b.ps}; }
};

}  // namespace foretrain
