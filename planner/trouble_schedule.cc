/// Troubles of the schedule: bubbles, stages that differ, batches and GPU counts that do not go together.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/plan_cost.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain {
namespace {

/// Seconds that each stage's compute lane is busy in the simulated step.
std::vector<double> busy_seconds(const DetailedReport& detailed) {
  std::vector<double> busy(detailed.graph.devices().size(), 0);
  const std::vector<sim::LaneTime> times = sim::lane_times(detailed.graph, detailed.timeline);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const sim::Lane& lane = detailed.graph.lanes()[i];
    if (lane.kind != sim::LaneKind::compute) continue;
    for (const double part : times[i].seconds_by_part) busy[static_cast<std::size_t>(lane.device)] += part;
  }
  return busy;
}

/// Other ways to deal the layers: the embedding or the loss counted as one, a layer moved from the busiest stage.
std::vector<Plan> other_layouts(const PlanReport& report, std::size_t busiest, std::size_t idlest) {
  std::vector<Plan> plans;
  for (const bool embedding : {false, true})
    for (const bool loss : {false, true}) {
      Plan plan = report.plan;
      plan.account_for_embedding = embedding;
      plan.account_for_loss = loss;
      plans.push_back(plan);
    }
  Plan moved = report.plan;
  moved.account_for_embedding = moved.account_for_loss = false;
  if (moved.virtual_pipeline == 1) {
    moved.stage_layers.clear();
    for (const MemoryAnatomy& stage : report.stages)
      moved.stage_layers.push_back(static_cast<std::int32_t>(stage.layers));
    --moved.stage_layers[busiest];
    ++moved.stage_layers[idlest];
    if (moved.stage_layers[busiest] > 0) plans.push_back(moved);
  }
  return plans;
}

/// Plans with more micro-batches or other numbers of virtual stages.
std::vector<Plan> with_less_bubble(const Problem& problem, const Plan& plan) {
  constexpr std::int64_t most_chunks = 16;
  std::vector<Plan> plans;
  const std::int64_t layers = problem.model.layers / plan.pipeline;
  for (std::int64_t chunks = 2; chunks <= std::min(layers, most_chunks); ++chunks) {
    if (layers % chunks != 0 || !plan.stage_layers.empty()) continue;
    Plan more = plan;
    more.virtual_pipeline = static_cast<std::int32_t>(chunks);
    more.schedule = ScheduleKind::interleaved;
    more.overlap = default_overlap(problem.software, more.tensor, more.virtual_pipeline);
    more.overlap.tensor = plan.overlap.tensor;
    more.overlap.data = plan.overlap.data;
    plans.push_back(more);
  }
  if (plan.micro_batch % 2 == 0) {
    Plan smaller = plan;
    smaller.micro_batch /= 2;
    plans.push_back(smaller);
  }
  return plans;
}

std::string what_else_is_there(std::size_t stage, std::size_t stages) {
  if (stage + 1 == stages) return ", with the LM head and the loss,";
  return stage == 0 ? ", with the embedding," : "";
}

}  // namespace

std::optional<Trouble> pipeline_bubble(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const Seconds cost = time_of(report, "pipeline_bubble");
  if (report.plan.pipeline == 1 || !worth_naming(report, cost)) return std::nullopt;
  Problem twice = problem;
  twice.training.global_batch *= 2;
  const double faster = 2 * (report.step / outcome(twice, report.plan).step) - 1;
  const Plan& p = report.plan;
  Trouble trouble{
      .name = {},
      .what = fmt::format("{} micro-batches go through {} stages{}: the busiest one waits for its turn",
                          micro_batches(problem, p), p.pipeline,
                          p.virtual_pipeline > 1 ? fmt::format(" in {} chunks each", p.virtual_pipeline) : ""),
      .cost = cost,
      .counted = "label pipeline_bubble",
      .remedy = fmt::format(
          "more micro-batches (twice the batch: {:+.1f} % tokens/s), fewer stages, or more virtual ones", 100 * faster),
      .instead = {},
      .instead_step = {}};
  propose(trouble, problem, report, with_less_bubble(problem, p));
  return trouble;
}

std::optional<Trouble> unbalanced_stages(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const std::vector<double> busy = busy_seconds(detailed);
  if (busy.size() < 2) return std::nullopt;
  const auto most = std::max_element(busy.begin(), busy.end()), least = std::min_element(busy.begin(), busy.end());
  double sum = 0;
  for (const double one : busy) sum += one;
  // The timeline may be that of a shorter step that stands for this one.
  const double scale = report.step / to_seconds(detailed.timeline.makespan);
  const double mean = sum / static_cast<double>(busy.size());
  const Seconds cost = scale * (*most - mean) * seconds;
  if (!worth_naming(report, cost)) return std::nullopt;
  const auto busiest = static_cast<std::size_t>(most - busy.begin());
  Trouble trouble{.name = {},
                  .what = fmt::format("stage {}{} computes for {}, the mean of {} stages for {}: they wait for it",
                                      busiest, what_else_is_there(busiest, busy.size()),
                                      to_text(scale * *most * seconds), busy.size(), to_text(scale * mean * seconds)),
                  .cost = cost,
                  .counted = "busiest stage less the mean of all",
                  .remedy = "deal the layers so that this stage has fewer",
                  .instead = {},
                  .instead_step = {}};
  propose(trouble, problem, report, other_layouts(report, busiest, static_cast<std::size_t>(least - busy.begin())));
  return trouble;
}

std::optional<Trouble> batch_too_small(const Problem& problem, const DetailedReport& detailed) {
  constexpr std::int64_t times = 4;
  constexpr double much = 0.05;  // any step has fixed costs that a larger batch dilutes a little
  const PlanReport& report = detailed.report;
  Problem larger = problem;
  larger.training.global_batch *= times;
  const Outcome o = outcome(larger, report.plan);
  const Seconds cost = report.step - o.step / static_cast<double>(times);
  if (o.step.base() <= 0 || cost < much * report.step) return std::nullopt;
  const std::int64_t gpus = gpus_used(report.plan);
  return Trouble{.name = {},
                 .what = fmt::format(
                     "{} sequences on {} GPUs: bubbles, gradient exchange and optimizer have little to hide behind",
                     problem.training.global_batch, gpus),
                 .cost = cost,
                 .counted = fmt::format("a sequence's share of a step with {} times the batch", times),
                 .remedy = fmt::format("a larger batch ({} sequences: {:+.1f} % tokens/s), or fewer GPUs",
                                       times * problem.training.global_batch,
                                       100 * (report.step * static_cast<double>(times) / o.step - 1)),
                 .instead = {},
                 .instead_step = {}};
}

std::optional<Trouble> idle_gpus(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const std::int64_t used = gpus_used(report.plan), there = problem.cluster.gpus;
  const Seconds cost = report.step * (1 - static_cast<double>(used) / static_cast<double>(there));
  if (!worth_naming(report, cost)) return std::nullopt;
  return Trouble{.name = {},
                 .what = fmt::format("{} of {} GPUs are used", used, there),
                 .cost = cost,
                 .counted = "the idle GPUs' share of the step",
                 .remedy = "a batch that divides by the replicas that would fit",
                 .instead = {},
                 .instead_step = {}};
}

}  // namespace foretrain
