/// The functions behind the rows of schedule.cc's table, one file a schedule.
#pragma once

#include "sim/schedule.h"

namespace foretrain::sim {

std::vector<Pass> gpipe_order(const PipelineShape&, std::int32_t stage);
const char* gpipe_why_illegal(const PipelineShape&);
std::int64_t gpipe_peak_in_flight(const PipelineShape&, std::int32_t stage);

std::vector<Pass> one_f_one_b_order(const PipelineShape&, std::int32_t stage);
const char* one_f_one_b_why_illegal(const PipelineShape&);
std::int64_t one_f_one_b_peak_in_flight(const PipelineShape&, std::int32_t stage);

std::vector<Pass> interleaved_order(const PipelineShape&, std::int32_t stage);
const char* interleaved_why_illegal(const PipelineShape&);
std::int64_t interleaved_peak_in_flight(const PipelineShape&, std::int32_t stage);
/// Forward passes before the first backward one of the steady state, in which they alternate; as many backward passes
/// follow it. Where all are warm-up, all backwards follow.
std::int32_t interleaved_warm_up(const PipelineShape&, std::int32_t stage);

}  // namespace foretrain::sim
