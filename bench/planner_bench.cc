// Speed of the planner: judging plans, one folded step of a very large plan, a whole search.
//
//   foretrain_bench --benchmark_filter=planner       from the project's root
#include <cstdint>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "planner/judge.h"
#include "planner/lower.h"
#include "planner/plan_replicas.h"
#include "planner/plan_space.h"
#include "planner/search.h"
#include "sim/simulator.h"

using namespace foretrain;

namespace {

const Problem& example() {
  static const Problem problem =
      load_problem(SpecNode::read_file("examples/llama3_70b_256_h100/job.json"), Catalogue::load());
  return problem;
}

/// Llama-3.1-405B on 16,384 H100, 126 layers with embedding and loss as two more over 16 x 8 chunks. Batch 2,048:
/// 16 micro-batches a replica (Llama 3 herd of models, arXiv 2407.21783, table 4: 16M tokens a step).
const Problem& llama_405b() {
  static const Problem problem =
      load_problem(SpecNode::parse(
                       R"({"model": "llama-3.1-405b", "cluster": {"node": "dgx-h100", "nodes": 2048},
              "training": {"sequence_length": 8192, "global_batch": 2048, "precision": "bf16"},
              "plan": {"tensor": 8, "pipeline": 16, "virtual_pipeline": 8, "sequence_parallel": true, "zero_stage": 1,
                       "micro_batch": 1, "schedule": "interleaved",
                       "account_for_embedding": true, "account_for_loss": true}})",
                       "job.json"),
                   Catalogue::load());
  return problem;
}

double peak_memory_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;  // Linux counts KiB
}

/// Every plan of the example's space, refused or bounded, on one core. An item is a plan.
void planner_judge_all(benchmark::State& state) {
  const PlanSpace space(example());
  std::int64_t plans = 0, legal = 0;
  for (auto _ : state) {
    Judge judge(example());
    for (std::size_t g = 0; g < space.group_count(); ++g) {
      space.visit_group(g, [&](const Plan& plan) {
        ++plans;
        const Judgement j = judge.judge(plan);
        if (!j.rejection || j.rejection->reason == RejectionReason::memory) ++legal;
        benchmark::DoNotOptimize(j.bound);
      });
    }
  }
  state.SetItemsProcessed(plans);
  state.counters["plans"] = static_cast<double>(plans) / static_cast<double>(state.iterations());
  state.counters["reach_memory"] = static_cast<double>(legal) / static_cast<double>(state.iterations());
}
BENCHMARK(planner_judge_all)->Unit(benchmark::kMillisecond);

/// The same for the plans that no launch rule refuses: costs, memory of every stage and the bound of each.
void planner_judge_legal(benchmark::State& state) {
  const PlanSpace space(example());
  std::vector<PackedPlan> legal;
  for (std::size_t g = 0; g < space.group_count(); ++g) {
    space.visit_group(g, [&](const Plan& plan) {
      if (!break_of_rule(example(), plan)) legal.push_back(space.pack(plan));
    });
  }
  for (auto _ : state) {
    Judge judge(example());
    for (const PackedPlan& packed : legal) benchmark::DoNotOptimize(judge.judge(space.unpack(packed)).bound);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(legal.size()));
}
BENCHMARK(planner_judge_legal)->Unit(benchmark::kMillisecond);

/// One folded step of 16,384 GPUs: costs, lowering, simulation. Argument: memory effects too.
void planner_folded_step_405b(benchmark::State& state) {
  const Problem& problem = llama_405b();
  const bool memory = state.range(0) != 0;
  std::int64_t tasks = 0;
  double step_seconds = 0;
  for (auto _ : state) {
    Judge judge(problem);
    const PlanCosts costs = judge.costs(*problem.plan);
    const StepGraph step = lower(problem, *problem.plan, costs, judge.moments(), {.memory = memory});
    const sim::Timeline timeline = sim::simulate(step.graph, {.memory = memory, .releases = memory});
    tasks += step.graph.task_count();
    step_seconds = to_seconds(timeline.makespan) / seconds;
  }
  state.SetItemsProcessed(tasks);
  state.counters["step_seconds"] = step_seconds;
  state.counters["peak_MiB"] = peak_memory_mib();
}
BENCHMARK(planner_folded_step_405b)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

/// One step of 1,024 ranks, each by itself, one of them slow: costs, graph, routes and flows over the cluster's
/// network, simulation. Argument: memory effects too. An item is a task.
void planner_unfolded_step_1024(benchmark::State& state) {
  static const Problem problem =
      load_problem(SpecNode::read_file("examples/straggler_1024_gpus/job.json"), Catalogue::load());
  const bool memory = state.range(0) != 0;
  std::int64_t tasks = 0, flows = 0;
  double step_seconds = 0;
  for (auto _ : state) {
    const Plan& plan = *problem.plan;
    const FrameworkSpec framework = framework_spec(problem);
    const auto blocks = std::make_shared<const BlockCosts>(block_costs(problem, block_shape(problem, plan), framework));
    PlanReplicas replicas(problem, true);
    PeakMoments moments;
    const StepGraph step = lower(problem, plan, replicas.ranks_of(plan, blocks, framework), moments,
                                 {.memory = memory, .network = &replicas.groups()});
    const sim::Timeline timeline = sim::simulate(step.graph, {.memory = memory, .releases = memory});
    tasks += step.graph.task_count();
    flows = std::ssize(step.graph.flows());
    step_seconds = to_seconds(timeline.makespan) / seconds;
  }
  state.SetItemsProcessed(tasks);
  state.counters["flows"] = static_cast<double>(flows);
  state.counters["step_seconds"] = step_seconds;
  state.counters["peak_MiB"] = peak_memory_mib();
}
BENCHMARK(planner_unfolded_step_1024)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

/// The search that `make plan` does. Argument: threads. An item is a plan considered.
void planner_search(benchmark::State& state) {
  SearchOptions options;
  options.threads = static_cast<std::int32_t>(state.range(0));
  std::int64_t considered = 0, simulated = 0;
  for (auto _ : state) {
    const SearchResult found = search(example(), options);
    considered += found.considered;
    simulated += found.simulated;
  }
  state.SetItemsProcessed(considered);
  state.counters["simulated"] = static_cast<double>(simulated) / static_cast<double>(state.iterations());
}
BENCHMARK(planner_search)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
