/// Graph files (`foretrain.graph/1`, docs/FORMAT.md): a kernel-level step as text, which GPUs execute.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "planner/lower.h"
#include "planner/problem.h"

namespace foretrain {

/// What stands in a file beside its graph.
struct GraphFileOptions {
  std::optional<std::int64_t> rank = std::nullopt;  ///< the rank whose stage is written; without: every stage
  std::string version = {};                         ///< the program's
  std::optional<Picoseconds> step = std::nullopt;   ///< predicted time of the whole step
};

/// The pipeline stage of global rank ((stage * data + d) * context + c) * tensor + t.
std::int32_t stage_of_rank(const Plan& plan, std::int64_t rank);

/// A work in the words of a graph file, the same for equal works: "gemm 1 8192 1280 8192 bf16 bf16 0 tn".
std::string work_text(const Work& work);

/// A task's time when it has its links for itself.
Picoseconds time_alone(const sim::TaskGraph& graph, sim::TaskId task);

/// The tasks that a rank of `stage` runs (every task without), in their order: those of the stage's lanes, and of what
/// all stages do together those whose group the stage is in.
std::vector<sim::TaskId> tasks_of_stage(const StepGraph& step, const Plan& plan, std::optional<std::int32_t> stage);

/// Dependencies among `tasks` as places in it: before, after. One on a task that is not there is left out; where that
/// is another stage's receive, the send it waits for stands in for it.
std::vector<std::pair<std::int32_t, std::int32_t>> dependencies_within(const StepGraph& step,
                                                                       const std::vector<sim::TaskId>& tasks);

/// The kernel-level step of a legal plan.
StepGraph kernel_step(const Problem& problem, const Plan& plan);

/// Writes `step`, which must be kernel-level, to `out`. Ids count from 0 in the order of the file. Dependencies on
/// tasks that are not written are left out; where that is another stage's receive, the send it waits for stands in for
/// it. The same input gives the same bytes.
void write_graph(const Problem& problem, const Plan& plan, const StepGraph& step, std::ostream& out,
                 const GraphFileOptions& options = {});

}  // namespace foretrain
