/// The exact search: every legal plan is refused with a reason, cut by a bound that proves it cannot win, or simulated.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "planner/problem.h"
#include "planner/rejection.h"
#include "planner/report.h"

namespace foretrain {

struct SearchOptions {
  std::int32_t top = 10;
  std::int32_t threads = 0;                                          ///< 0 = all cores
  const std::atomic<bool>* stop = nullptr;                           ///< Ctrl-C: return the best so far
  std::function<void(std::int64_t done, std::int64_t of)> progress;  ///< called from one thread; may be empty
};

struct SearchResult {
  std::int64_t considered = 0, cut_by_bound = 0, simulated = 0;
  std::array<std::int64_t, kRejectionNames.size()> rejected{};  ///< by reason
  std::vector<PlanReport> plans;                                ///< best first, at most `top`
  std::optional<PlanReport> nearest_miss;                       ///< the plan refused for memory that lacked least
  bool stopped_early = false;  ///< by SearchOptions::stop; then the best of what had been judged
  std::int64_t left_out = 0;   ///< plans judged but neither cut nor simulated when the search was stopped
};

/// Ranks the plans of `problem.search`. The result does not depend on `threads`. Ties: the plan earlier in plan-space
/// order.
SearchResult search(const Problem& problem, const SearchOptions& options = {});

}  // namespace foretrain
