/// What a job lacks when no plan fits, and what would make one fit.
#pragma once

#include <atomic>
#include <string>

#include "planner/search.h"

namespace foretrain::cli {

/// The plan refused for memory that lacked least: how much, on which stage and in what; then the best plan without the
/// limits of the job's search, or on 2, 4, ... 64 times the GPUs, whichever comes first. These searches use `threads`,
/// and end when `stop` is set.
std::string nearest_miss_text(const Problem& problem, const SearchResult& result, std::int32_t threads,
                              const std::atomic<bool>& stop);

}  // namespace foretrain::cli
