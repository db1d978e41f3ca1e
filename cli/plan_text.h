/// Plans and what was predicted for them, as text for people.
#pragma once

#include <string>

#include "base/text.h"
#include "planner/problem.h"
#include "planner/report.h"
#include "planner/search.h"

namespace foretrain::cli {

/// "llama-3.1-70b (70.6 B parameters) on 256 h100-sxm5-80gb, batch 1024 x 8192 tokens, bf16".
std::string describe(const Problem& problem);

/// The ranked plans, one a row: number (with ~ where a run may well show it level with the best), plan, step, ...
TextTable ranking_rows(const SearchResult& result);

/// Where a step's time goes: label, time, share of the step.
TextTable time_rows(const PlanReport& report);
std::string time_table(const PlanReport& report);

/// One row a pipeline stage, one column a label that any stage has; then what is left.
TextTable memory_rows(const PlanReport& report);
std::string memory_table(const PlanReport& report);

/// What the cluster's faults cost, and what each slows; "" where nobody asked.
std::string fault_text(const PlanReport& report);

/// "It uses 896 of 1000 GPUs; 104 stay idle." and a line end, or "" where all are used.
std::string idle_gpus(const Problem& problem, const PlanReport& report);

/// "81920 plans: 51234 refused for memory, ..., 9000 cut by bound, 1575 simulated"; and whether it was stopped early.
std::string counts(const SearchResult& result);

/// A refused plan in one line.
std::string refusal_text(const PlanReport& report);

/// Seconds to the precision that people compare plans with: "12.345 s".
std::string step_text(Seconds step);

/// The same with its error bar: "12.345 s (11.9 to 13.6 s)", in which four measured runs in five are expected to lie.
std::string step_and_interval(const PlanReport& report);

}  // namespace foretrain::cli
