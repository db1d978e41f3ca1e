/// What a job lacks when no plan fits, and what would make one fit.
#pragma once

#include <string>

#include "planner/search.h"

namespace foretrain::cli {

/// The plan refused for memory that lacked least: how much on which stage, its memory, and those of its neighbours
/// (recompute more, smaller micro-batch, shard more, more nodes) that fit. When no plan got as far as memory, says so.
std::string nearest_miss_text(const Problem& problem, const SearchResult& result);

}  // namespace foretrain::cli
