/// One rank of a plan by itself: what a single GPU can run of it.
#pragma once

#include <cstdint>

#include "planner/graph_file.h"

namespace foretrain {

/// How long one rank of `stage` takes for its step when nobody keeps it waiting: its tasks on its lanes, each message
/// as long as it takes alone, nothing from other stages. What a run of one rank measures, in which a stand-in holds
/// each message's place for its predicted time.
Picoseconds one_rank_step(const StepGraph& step, const Plan& plan, std::int32_t stage);

}  // namespace foretrain
