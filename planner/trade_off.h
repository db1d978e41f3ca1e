/// Time against memory of all plans that a search judged, few enough to draw, and the front that no plan beats.
#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"
#include "planner/search.h"

namespace foretrain {

/// One plan, or the fastest of several that lie close to each other.
struct TradeOffPoint {
  Seconds step;  ///< simulated, or a lower bound
  Bytes peak;
  Plan plan;
  std::int64_t plans = 1;  ///< how many it stands for
  bool simulated = false, fits = true;
};

struct TradeOff {
  std::vector<TradeOffPoint> points;  ///< by time
  std::vector<std::size_t> front;     ///< in `points`: fastest first, each with less memory than the one before
  std::int64_t fitting = 0, too_big = 0;
  bool binned = false;          ///< some points stand for several plans
  bool front_complete = false;  ///< every plan of the front is simulated, and no plan of the search beats one of them
  Seconds fastest, slowest;     ///< what a chart may show; slower plans exist where `slowest` is kTimeRange fastest
};

/// Charts end at this multiple of the fastest step, and at this multiple of what a GPU can give.
inline constexpr double kTimeRange = 16, kMemoryRange = 1.25;

struct TradeOffOptions {
  std::int32_t threads = 0;                 ///< 0 = all cores
  std::size_t most_points = 10'000;         ///< with more plans, one point for each cell of a grid
  std::int64_t most_front_simulated = 256;  ///< plans simulated to find the front
};

/// `judged` as a search with keep_judged gives it. The front is found lazily: plans on the front of the times known so
/// far, of which lower bounds are some, are simulated until all of them are. Then no plan off the front can be on it:
/// its bound is beaten already. Independent of the number of threads.
TradeOff trade_off(const Problem& problem, std::vector<JudgedPlan> judged, const TradeOffOptions& options = {});

}  // namespace foretrain
