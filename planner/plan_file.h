/// Plan files (`foretrain.plan/1`, docs/FORMAT.md): a job with its ranked plans and what was predicted for them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/spec_node.h"
#include "planner/calibration_coverage.h"
#include "planner/search.h"

namespace foretrain {

/// `result` of searching `job_json` as JSON text, two blanks an indent, a newline at the end. Doubles are written so
/// that reading gives the same bits back; the same input gives the same bytes. `version` is the program's;
/// `calibration` is what the plans were predicted with, or null.
/// `trainer`: whose launch rules the search went by, or nothing.
std::string plan_file_text(std::string_view job_json, const SearchResult& result, std::string_view version,
                           const CalibrationCoverage* calibration = nullptr,
                           const std::optional<Trainer>& trainer = std::nullopt);

/// The memory anatomy of a plan as JSON text: stages as in a plan file, the limit, whether it fits.
std::string memory_file_text(const PlanReport& report);

/// The outcome of judging one plan, as a search that looked at nothing else.
SearchResult as_search_result(PlanReport report);

/// What a plan file says of one of its plans.
struct StoredPlan {
  Plan plan;
  bool feasible = true;
  Seconds step;
  double mfu = 0;
  Bytes peak_memory, memory_headroom;
  std::vector<std::pair<std::string, Seconds>> time;         ///< by label, sums to step
  std::vector<std::pair<std::string, std::int64_t>> memory;  ///< bytes by label of the fullest stage
};
struct PlanFile {
  std::int64_t considered = 0, cut_by_bound = 0, simulated = 0, left_out = 0;
  bool stopped_early = false;
  std::vector<std::pair<std::string, std::int64_t>> rejected;  ///< by reason, as written
  std::vector<StoredPlan> plans;                               ///< in order of rank
};

bool is_plan_file(const SpecNode& file);
/// Reads a plan file. SpecError for what is not one. Keys that it does not know are left alone.
PlanFile read_plan_file(const SpecNode& file);

/// The job of a plan file, with its `number`-th plan (from 1) as the plan to simulate. SpecError when there is no such
/// plan.
SpecNode job_with_plan(const SpecNode& file, std::int32_t number);

}  // namespace foretrain
