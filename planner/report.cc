#include "planner/report.h"

#include <algorithm>

#include "base/check.h"
#include "planner/legality.h"
#include "planner/long_step.h"
#include "planner/lower.h"
#include "planner/plan_replicas.h"
#include "sim/simulator.h"

namespace foretrain {
namespace {

/// The device whose compute lane works most.
std::size_t busiest_device(const StepGraph& step, const sim::Timeline& timeline) {
  const std::vector<sim::LaneTime> times = sim::lane_times(step.graph, timeline);
  double most = -1;
  std::size_t busiest = 0;
  for (std::size_t s = 0; s < step.lanes.size(); ++s) {
    double busy = 0;
    for (const double t : times[static_cast<std::size_t>(step.lanes[s].compute)].seconds_by_part) busy += t;
    if (busy > most) {
      most = busy;
      busiest = s;
    }
  }
  return busiest;
}

/// Books the compute lane of `stage`: its work by part, its waits by what it waited for, what is left as idle.
std::vector<TimePart> time_of_stage(const StepGraph& step, const sim::Timeline& timeline, std::size_t stage) {
  const std::vector<std::string>& parts = step.graph.parts();
  const sim::LaneTime lane = sim::lane_time(step.graph, timeline, step.lanes[stage].compute);
  std::vector<TimePart> time;
  for (std::size_t i = 0; i < parts.size(); ++i)
    time.push_back({parts[i], Seconds::from_base(lane.seconds_by_part[i] + lane.wait_by_part[i])});
  time.push_back({"idle", Seconds::from_base(lane.idle)});
  return time;
}

/// Simulates the step, or where it is long what stands for it, and fills in what it takes. The details are those of the
/// step that was simulated last.
void fill_step(DetailedReport& d, const Problem& problem, const std::vector<SimulatedReplica>& replicas,
               PeakMoments& moments, const LowerOptions& options, bool rates) {
  PlanReport& r = d.report;
  const std::int32_t micro_batches = replicas.front().costs->micro_batches;
  const std::optional<StandIns> s = stand_ins(r.plan, micro_batches);
  StepGraph step = lower(problem, r.plan, s ? with_micro_batches(replicas, s->longer) : replicas, moments, options);
  d.timeline = sim::simulate(step.graph, {.rates = rates});
  const std::size_t stage = busiest_device(step, d.timeline);
  Picoseconds makespan = d.timeline.makespan;
  r.time = time_of_stage(step, d.timeline, stage);
  if (s) {
    const StepGraph shorter = lower(problem, r.plan, with_micro_batches(replicas, s->shorter), moments, options);
    const sim::Timeline timeline = sim::simulate(shorter.graph);
    makespan = on_line(*s, timeline.makespan, makespan, micro_batches);
    const std::vector<TimePart> time = time_of_stage(shorter, timeline, stage);
    FORETRAIN_CHECK(time.size() == r.time.size());
    for (std::size_t i = 0; i < time.size(); ++i)
      r.time[i].time = Seconds::from_base(on_line(*s, time[i].time.base(), r.time[i].time.base(), micro_batches));
  }
  std::erase_if(r.time, [](const TimePart& part) { return part.time.base() <= 0; });
  r.bounding_stage = static_cast<int>(stage) % r.plan.pipeline;
  r.step = to_seconds(makespan);
  d.graph = std::move(step.graph);
  d.messages = std::move(step.messages);
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
  PlanReplicas of_plan(problem, options.unfold);
  const std::vector<SimulatedReplica> replicas =
      options.unfold ? of_plan.ranks_of(plan, blocks, framework) : of_plan.of(plan, blocks, framework);
  PeakMoments moments;
  r.stages = memory_anatomy(problem, plan, *replicas.front().costs, moments);
  std::int64_t most = 0;
  for (const MemoryAnatomy& m : r.stages) most = std::max(most, m.total);
  r.peak_memory = static_cast<double>(most) * bytes;
  if (r.peak_memory > r.memory_limit) {
    r.rejection = Rejection{.reason = RejectionReason::memory,
                            .rule = "a stage needs more memory than the GPU has",
                            .excess = (r.peak_memory - r.memory_limit).base()};
    if (!options.even_if_too_big) return d;
  }
  fill_step(d, problem, replicas, moments, {.network = options.unfold ? &of_plan.groups() : nullptr}, options.rates);
  fill_rates(r, problem);
  r.interval = step_interval(problem, r.time, r.step);
  return d;
}

PlanReport evaluate(const Problem& problem, const Plan& plan, const EvaluateOptions& options) {
  return evaluate_in_detail(problem, plan, options).report;
}

}  // namespace foretrain
