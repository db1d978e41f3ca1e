#include "planner/advice.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/plan_cost.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain {
namespace {

/// Beyond so many passes a step takes a tenth of a second to simulate.
constexpr std::int64_t kManyPasses = 20'000;

std::int64_t passes(const Problem& problem, const Plan& plan) {
  return 2 * std::int64_t{micro_batches(problem, plan)} * plan.pipeline * plan.virtual_pipeline;
}

double tokens_per_second_per_gpu(const Problem& problem, const Plan& plan, Seconds step) {
  return static_cast<double>(problem.training.global_batch) * static_cast<double>(problem.training.sequence_length) /
         step.base() / static_cast<double>(gpus_used(plan));
}

/// `plan` in `changed`, set beside the report; nothing where it breaks a rule there.
std::optional<Advice> advise(const Problem& changed, const Plan& plan, const PlanReport& report, Advice advice) {
  const Outcome o = outcome(changed, plan);
  if (o.step.base() <= 0) return std::nullopt;
  advice.plan = plan;
  advice.step = o.step;
  advice.step_change = o.step / report.step - 1;
  advice.per_gpu_change = tokens_per_second_per_gpu(changed, plan, o.step) / report.tokens_per_second_per_gpu - 1;
  advice.lacks = max(Bytes{}, o.peak_memory - report.memory_limit);
  return advice;
}

std::optional<Advice> larger_batch(const Problem& problem, const PlanReport& report) {
  Problem twice = problem;
  twice.training.global_batch *= 2;
  Advice a;
  a.kind = "global_batch";
  a.change = fmt::format("a batch of {} sequences", twice.training.global_batch);
  a.assumed = "the same plan, twice the micro-batches";
  return advise(twice, report.plan, report, std::move(a));
}

std::optional<Advice> more_gpus(const Problem& problem, const PlanReport& report) {
  Problem twice = problem;
  twice.cluster.gpus *= 2;
  Plan plan = report.plan;
  plan.data *= 2;
  Advice a;
  a.kind = "gpus";
  a.change = fmt::format("{} GPUs", twice.cluster.gpus);
  a.assumed = "the same batch over twice the replicas";
  return advise(twice, plan, report, std::move(a));
}

/// The fastest neighbour, or neighbour of a neighbour, that lacks memory.
std::optional<Advice> more_memory(const Problem& problem, const PlanReport& report) {
  std::vector<Plan> plans = costlier_neighbours(report.plan);
  if (passes(problem, report.plan) <= kManyPasses) {
    for (const Plan& near : costlier_neighbours(report.plan))
      for (const Plan& far : costlier_neighbours(near))
        if (std::find(plans.begin(), plans.end(), far) == plans.end()) plans.push_back(far);
  }
  std::optional<Advice> best;
  for (const Plan& plan : plans) {
    Advice a;
    a.kind = "memory";
    a.assumed = "the best of some neighbours of the plan";
    std::optional<Advice> found = advise(problem, plan, report, std::move(a));
    if (!found || found->step_change > -kWorthNaming) continue;
    if (found->lacks.base() <= 0 || found->lacks > report.memory_limit) continue;
    if (!best || found->step < best->step) best = std::move(found);
  }
  if (best) best->change = fmt::format("{} more memory a GPU", to_text(best->lacks));
  return best;
}

std::optional<Advice> narrower_format(const Problem& problem, const PlanReport& report) {
  const Precision now = problem.training.precision;
  if ((now != Precision::bf16 && now != Precision::fp16) || !is_supported(problem.cluster.gpu, Precision::fp8))
    return std::nullopt;
  Problem narrow = problem;
  narrow.training.precision = Precision::fp8;
  Advice a;
  a.kind = "precision";
  a.change = "precision fp8";
  a.assumed = "the same plan; check that it converges";
  std::optional<Advice> found = advise(narrow, report.plan, report, std::move(a));
  if (found && found->step_change > -kWorthNaming) found.reset();
  return found;
}

/// A trouble that one switch ends: `change`.
std::optional<Advice> from_trouble(const Problem& problem, const PlanReport& report, std::string_view name,
                                   std::string_view change, const std::optional<Trouble>& trouble) {
  if (!trouble) return std::nullopt;
  Problem changed = problem;
  Advice a;
  a.kind = name;
  a.change = change;
  a.assumed = "the same plan otherwise";
  if (name == "host_bound_launches") {
    changed.software.cuda_graphs = true;
  } else if (!trouble->instead) {
    return std::nullopt;
  }
  std::optional<Advice> found = advise(changed, trouble->instead.value_or(report.plan), report, std::move(a));
  if (found && (found->step_change > -kWorthNaming || found->lacks.base() > 0)) found.reset();
  return found;
}

}  // namespace

std::vector<Plan> costlier_neighbours(const Plan& plan) {
  std::vector<Plan> plans;
  const auto add = [&](auto change) {
    Plan other = plan;
    change(other);
    if (!(other == plan)) plans.push_back(std::move(other));
  };
  add([](Plan& p) {
    p.recompute = Recompute::none;
    p.recompute_layers = 0;
  });
  add([](Plan& p) { p.recompute_layers /= 2; });
  if (plan.recompute_layers == 1) plans.pop_back();  // 0 would be all layers
  add([](Plan& p) { p.micro_batch *= 2; });
  if (plan.tensor % 2 == 0)
    add([](Plan& p) {
      p.tensor /= 2;
      p.data *= 2;
      p.sequence_parallel = p.sequence_parallel && p.tensor > 1;
      p.overlap.tensor = p.overlap.tensor && p.tensor > 1;
    });
  if (plan.pipeline % 2 == 0)
    add([](Plan& p) {
      p.pipeline /= 2;
      p.data *= 2;
      p.stage_layers.clear();
      if (p.pipeline > 1) return;
      p.virtual_pipeline = 1;
      if (p.schedule == ScheduleKind::interleaved) p.schedule = ScheduleKind::one_f_one_b;
    });
  if (plan.zero_stage > 1) add([](Plan& p) { p.zero_stage = 1; });
  return plans;
}

std::vector<Advice> advice(const Problem& problem, const PlanReport& report) {
  std::vector<Advice> all;
  const auto keep = [&](std::optional<Advice> found) {
    if (found) all.push_back(std::move(*found));
  };
  keep(larger_batch(problem, report));
  keep(more_gpus(problem, report));
  keep(more_memory(problem, report));
  keep(narrower_format(problem, report));
  DetailedReport detailed;
  detailed.report = report;
  struct Switch {
    std::string_view trouble, change;
    std::optional<Trouble> (*find)(const Problem&, const DetailedReport&);
  };
  constexpr std::array switches = {Switch{"no_tensor_overlap", "overlap.tensor", no_tensor_overlap},
                                   Switch{"no_pipeline_overlap", "overlap.pipeline", no_pipeline_overlap},
                                   Switch{"exposed_data_parallel", "overlap.data", exposed_data_parallel},
                                   Switch{"host_bound_launches", "CUDA graphs", host_bound_launches}};
  for (const Switch& s : switches) keep(from_trouble(problem, report, s.trouble, s.change, s.find(problem, detailed)));
  return all;
}

}  // namespace foretrain
