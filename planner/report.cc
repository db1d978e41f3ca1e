#include "planner/report.h"

#include <algorithm>

#include "planner/legality.h"
#include "planner/lower.h"
#include "sim/simulator.h"

namespace foretrain {
namespace {

/// Books the compute lane of the busiest stage: its work by part, its waits by what it waited for.
void fill_time(PlanReport& report, const StepGraph& step, const sim::Timeline& timeline) {
  const std::vector<std::string>& parts = step.graph.parts();
  double busiest = -1;
  sim::LaneTime lane;
  for (std::size_t s = 0; s < step.lanes.size(); ++s) {
    sim::LaneTime time = sim::lane_time(step.graph, timeline, step.lanes[s].compute);
    double busy = 0;
    for (const double t : time.seconds_by_part) busy += t;
    if (busy > busiest) {
      busiest = busy;
      lane = std::move(time);
      report.bounding_stage = static_cast<int>(s);
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double t = lane.seconds_by_part[i] + lane.wait_by_part[i];
    if (t > 0) report.time.push_back({parts[i], Seconds::from_base(t)});
  }
  if (lane.idle > 0) report.time.push_back({"idle", Seconds::from_base(lane.idle)});
}

void fill_rates(PlanReport& report, const Problem& problem) {
  const double tokens =
      static_cast<double>(problem.training.global_batch) * static_cast<double>(problem.training.sequence_length);
  const double gpus = static_cast<double>(gpus_used(report.plan));
  report.tokens_per_second_per_gpu = tokens / report.step.base() / gpus;
  const FlopsPerSecond rate = model_flops(problem.model, tokens, problem.training.sequence_length) / report.step / gpus;
  report.model_tflops_per_gpu = rate / TFLOP_per_s;
  if (const auto top = peak(problem.cluster.gpu, gemm_dtype(problem.training.precision))) report.mfu = rate / *top;
}

}  // namespace

DetailedReport evaluate_in_detail(const Problem& problem, const Plan& plan, const EvaluateOptions& options) {
  DetailedReport d;
  PlanReport& r = d.report;
  r.plan = plan;
  r.memory_limit = memory_limit(problem.cluster.gpu);
  r.rejection = break_of_rule(problem, plan);
  if (r.rejection) return d;
  const FrameworkSpec framework = framework_spec(problem);
  const auto blocks = std::make_shared<const BlockCosts>(block_costs(problem, block_shape(problem, plan), framework));
  r.rejection = break_of_time(problem, plan, *blocks);
  if (r.rejection) return d;
  const PlanCosts costs = plan_costs(problem, plan, blocks, framework);
  PeakMoments moments;
  r.stages = memory_anatomy(problem, plan, costs, moments);
  std::int64_t most = 0;
  for (const MemoryAnatomy& m : r.stages) most = std::max(most, m.total);
  r.peak_memory = static_cast<double>(most) * bytes;
  if (r.peak_memory > r.memory_limit) {
    r.rejection = Rejection{.reason = RejectionReason::memory,
                            .rule = "a stage needs more memory than the GPU has",
                            .excess = (r.peak_memory - r.memory_limit).base()};
    if (!options.even_if_too_big) return d;
  }
  StepGraph step = lower(problem, plan, costs, moments);
  d.timeline = sim::simulate(step.graph);
  r.step = to_seconds(d.timeline.makespan);
  fill_time(r, step, d.timeline);
  fill_rates(r, problem);
  r.interval = step_interval(problem, r.time, r.step);
  d.graph = std::move(step.graph);
  return d;
}

PlanReport evaluate(const Problem& problem, const Plan& plan, const EvaluateOptions& options) {
  return evaluate_in_detail(problem, plan, options).report;
}

}  // namespace foretrain
