/// Reads back what planner/export/schedule_csv.cc writes, in the grammar of PyTorch's _PipelineScheduleRuntime.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/schedule.h"

namespace foretrain {

/// A schedule read from CSV: which passes each rank runs, in order.
struct ScheduleTable {
  sim::PipelineShape shape;
  std::vector<std::vector<sim::Pass>> ranks;
  std::string name;  ///< of our schedules the one with the same order; "" = none of them
};

/// Rows are ranks, cells "2F0": stage, F (forward) or B (backward), micro-batch; empty cells are idle. Stage s runs on
/// rank s modulo the ranks. SpecError at "file:line" for other cells, passes missing or twice, stages on other ranks.
ScheduleTable read_schedule_csv(std::string_view text, const std::string& file);

}  // namespace foretrain
