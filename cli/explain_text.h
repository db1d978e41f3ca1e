/// What `foretrain explain` says, for people and as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/page.h"
#include "planner/explanation.h"
#include "planner/plan_file.h"

namespace foretrain::cli {

/// What there is to say, and which plans of the file it is about.
struct ExplainedFile {
  const Problem& problem;
  const PlanFile& file;
  const Explanation& explanation;
  std::int32_t plan = 1, against = 2;      ///< numbers in the file
  std::optional<PlanReport> nearest_miss;  ///< simulated as if it fitted
};

std::string explain_text(const ExplainedFile& explained, PageStyle style);
/// Keys: docs/FORMAT.md, "Explanations".
std::string explain_json(const ExplainedFile& explained);

/// "lacks 3.2 GB on stage 0, most of which holds activations (45 GB)". Needs stages and a plan that does not fit.
std::string what_it_lacks(const PlanReport& miss);

}  // namespace foretrain::cli
