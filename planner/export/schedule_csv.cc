/// A plan's pipeline schedule as CSV, which PyTorch's _PipelineScheduleRuntime loads (pipeline_parallel_schedule_csv).
/// Source: pytorch/pytorch torch/distributed/pipelining/schedules.py (_load_csv, _Action).
#include <fmt/format.h>

#include "planner/export/writers.h"
#include "sim/schedule.h"

namespace foretrain {

std::string write_schedule_csv(const Problem& problem, const Plan& plan) {
  const sim::Schedule* schedule = sim::find_schedule(kScheduleNames[static_cast<std::size_t>(plan.schedule)]);
  const sim::PipelineShape shape = {.stages = plan.pipeline,
                                    .virtual_stages = plan.virtual_pipeline,
                                    .micro_batches = static_cast<std::int32_t>(
                                        problem.training.global_batch / (std::int64_t{plan.micro_batch} * plan.data))};
  std::string text;
  for (std::int32_t stage = 0; stage < plan.pipeline; ++stage) {
    std::string row;
    for (const sim::Pass& pass : schedule->order(shape, stage)) {
      row += fmt::format("{}{}{}{}", row.empty() ? "" : ",", pass.chunk * plan.pipeline + stage,
                         pass.kind == sim::PassKind::forward ? 'F' : 'B', pass.micro_batch);
    }
    text += row + "\n";
  }
  return text;
}

}  // namespace foretrain
