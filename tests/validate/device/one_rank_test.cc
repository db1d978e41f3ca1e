// One rank by itself: its own work and nobody's delay.
#include "validate/device/one_rank.h"

#include <doctest/doctest.h>

#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

TEST_CASE("the only rank of a plan takes the whole step") {
  const Problem problem =
      job(R"({"model": {"layers": 4, "hidden": 1024, "ffn_hidden": 4096, "heads": 8, "vocab": 32000},
      "cluster": {"gpu": "h100-sxm5-80gb", "gpus": 1}, "training": {"sequence_length": 1024, "global_batch": 8},
      "plan": {"micro_batch": 2}})");
  const StepGraph step = kernel_step(problem, *problem.plan);
  CHECK(one_rank_step(step, *problem.plan, 0) == sim::simulate(step.graph).makespan);
}

TEST_CASE("a rank by itself takes no longer than the step, and no less than its own kernels") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 53 != 0 || judge.judge(plan).rejection) return;
      const StepGraph step = kernel_step(problem, plan);
      const Picoseconds whole = sim::simulate(step.graph).makespan;
      CAPTURE(to_text(plan));
      for (std::int32_t s = 0; s < plan.pipeline; ++s) {
        Picoseconds busy;
        for (const sim::TaskId t : tasks_of_stage(step, plan, s))
          if (step.graph.lane_of(t) == step.lanes[static_cast<std::size_t>(s)].compute)
            busy += step.graph.duration_of(t);
        const Picoseconds alone = one_rank_step(step, plan, s);
        CHECK(alone >= busy);
        // A message that others share a NIC with may take a rounding less together than alone.
        CHECK(alone.count <= whole.count + whole.count / 1'000'000);
      }
    });
  }
}

TEST_CASE("no rank waits in a pipeline bubble by itself") {
  // 1F1B over P stages with M micro-batches: M + P - 1 slots; a rank by itself has M of them.
  const Problem problem =
      job(R"({"model": {"layers": 16, "hidden": 4096, "ffn_hidden": 16384, "heads": 32, "vocab": 1024},
      "cluster": {"node": "dgx-h100", "nodes": 1}, "training": {"sequence_length": 4096, "global_batch": 8},
      "software": {"cuda_graphs": true}, "plan": {"pipeline": 8, "micro_batch": 1}})");
  const StepGraph step = kernel_step(problem, *problem.plan);
  const double alone = to_seconds(one_rank_step(step, *problem.plan, 3)).base();
  const double whole = to_seconds(sim::simulate(step.graph).makespan).base();
  CHECK(alone / whole == doctest::Approx(8.0 / 15).epsilon(0.1));  // optimizer, messages, embedding and head beside
}
