/// What is known of a plan once it has been judged: time, memory, why.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "planner/fault_report.h"
#include "planner/memory.h"
#include "planner/plan.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"
#include "planner/rejection.h"
#include "planner/uncertainty.h"
#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain {

/// Where a step's time goes, on the compute lane of the stage that bounds it. Parts sum to step_seconds.
struct TimePart {
  std::string name;
  Seconds time;
};

struct PlanReport {
  Plan plan;
  std::optional<Rejection> rejection;  ///< set when it cannot work; then only memory may be filled
  Seconds step;
  bool near_best = false;  ///< in a search: a run may well show it level with the best plan, or ahead
  StepInterval interval;   ///< where a measured step is expected, 10th to 90th percentile
  double tokens_per_second_per_gpu = 0;
  double model_tflops_per_gpu = 0;  ///< causal convention, no recomputation
  double mfu = 0;
  std::vector<MemoryAnatomy> stages;
  Bytes peak_memory, memory_limit;  ///< largest stage; what a GPU can give
  std::vector<TimePart> time;       ///< sums to step
  int bounding_stage = 0;
  std::optional<FaultReport> faults;  ///< what the cluster's faults cost, where somebody asked
};

/// Judges one plan fully: legality, memory, lowering, simulation. A plan that does not fit is still simulated when
/// `even_if_too_big` (compare and simulate), and has its rejection set.
struct EvaluateOptions {
  bool even_if_too_big = false;
  bool rates = false;   ///< in detail: the timeline holds the rates of flows (traces)
  bool unfold = false;  ///< every rank simulated by itself, its messages as flows over the cluster's graph
};
PlanReport evaluate(const Problem& problem, const Plan& plan, const EvaluateOptions& options = {});

/// The same together with the graph and its timeline (traces). Of a very long step these are of a shorter one
/// (planner/long_step.h).
struct DetailedReport {
  PlanReport report;
  sim::TaskGraph graph;
  sim::Timeline timeline;
  std::vector<Message> messages;  ///< payloads of the graph's tasks
};
DetailedReport evaluate_in_detail(const Problem& problem, const Plan& plan, const EvaluateOptions& options = {});

}  // namespace foretrain
