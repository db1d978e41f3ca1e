/// Two plans beside each other: where each one's time and memory go, label by label, so that the differences close.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/report.h"

namespace foretrain {

/// One label of both plans, in picoseconds or bytes.
struct ContrastRow {
  std::string label;
  std::int64_t own = 0, other = 0;
  [[nodiscard]] std::int64_t more() const { return other - own; }
};

/// The rows of each plan sum to its total exactly, and so do the differences.
struct Contrast {
  std::vector<ContrastRow> rows;  ///< labels of `own` in its order, then those that only the other has
  std::int64_t own = 0, other = 0;
};

/// Picoseconds of the step, on the busiest stage of each plan. Both must have been simulated.
Contrast contrast_time(const PlanReport& own, const PlanReport& other);
/// Bytes of the fullest stage of each plan. Both need stages.
Contrast contrast_memory(const PlanReport& own, const PlanReport& other);

/// The stage that holds most, the first on a tie. Needs stages.
const MemoryAnatomy& fullest_stage(const PlanReport& report);

/// A contrast in whole units of `unit`: totals are rounded, rows apportioned, so that what is shown still sums up.
Contrast in_units(const Contrast& contrast, std::int64_t unit);

}  // namespace foretrain
