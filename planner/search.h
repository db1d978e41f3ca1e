/// The exact search: every legal plan is refused with a reason, cut by a bound that proves it cannot win, or simulated.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/time_point.h"
#include "planner/plan_space.h"
#include "planner/problem.h"
#include "planner/rejection.h"
#include "planner/report.h"

namespace foretrain {

struct SearchOptions {
  std::int32_t top = 10;
  std::int32_t threads = 0;                                          ///< 0 = all cores
  bool keep_judged = false;                                          ///< fill SearchResult::judged
  const std::atomic<bool>* stop = nullptr;                           ///< Ctrl-C: return the best so far
  std::function<void(std::int64_t done, std::int64_t of)> progress;  ///< called from one thread; may be empty
  std::atomic<std::int64_t>* judged_count = nullptr;  ///< counts the plans judged, for who shows progress
};

/// A plan that breaks no rule, with what its judgement says of it.
struct JudgedPlan {
  Picoseconds time;       ///< simulated, or the lower bound
  std::int64_t peak = 0;  ///< bytes of the fullest stage
  PackedPlan plan;
  bool simulated = false, fits = true;
};

struct SearchResult {
  std::int64_t considered = 0, cut_by_bound = 0, simulated = 0;
  std::array<std::int64_t, kRejectionNames.size()> rejected{};  ///< by reason
  std::vector<PlanReport> plans;                                ///< best first, at most `top`
  std::optional<PlanReport> nearest_miss;                       ///< the plan refused for memory that lacked least
  bool stopped_early = false;  ///< by SearchOptions::stop; then the best of what had been judged
  std::int64_t left_out = 0;   ///< plans judged but neither cut nor simulated when the search was stopped
  /// With SearchOptions::keep_judged: all that break no rule; those that fit by time, then the others in plan-space
  /// order.
  std::vector<JudgedPlan> judged;
  /// By Problem::trainer's launch rules, in the order of launch_rules(); also part of `rejected`.
  std::vector<std::int64_t> rejected_by_launch_rule;
};

/// Ranks the plans of `problem.search`. The result does not depend on `threads`. Ties: the plan earlier in plan-space
/// order.
SearchResult search(const Problem& problem, const SearchOptions& options = {});

}  // namespace foretrain
