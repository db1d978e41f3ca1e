/// The answer of `foretrain plan` for people: the winner, the table, what bounds it, why the next one lost, what to
/// try.
#pragma once

#include <cstdint>
#include <string>

#include "cli/page.h"
#include "planner/problem.h"
#include "planner/search.h"

namespace foretrain::cli {

/// How much is said: the winner's sentence alone, the answer, or also troubles and elasticities.
enum class Detail : std::uint8_t { quiet, usual, verbose };

/// Needs a plan in `result`. What bounds the winner, the runner-up and what to try are found by simulating again.
std::string plan_answer(const Problem& problem, const SearchResult& result, Detail detail, PageStyle style);

/// The plan with which the winner is compared: the best with other degrees, or else the second. Null where there is one
/// plan.
const PlanReport* runner_up(const SearchResult& result);

}  // namespace foretrain::cli
