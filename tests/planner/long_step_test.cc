// Steps of very many micro-batches: what two shorter ones say of them, against simulating every pass.
#include "planner/long_step.h"

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "planner/lower.h"
#include "planner/report.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

Picoseconds pass_by_pass(const Problem& problem, const Plan& plan, const PlanCosts& costs) {
  PeakMoments moments;
  const StepGraph step = lower(problem, plan, costs, moments, {.memory = false});
  return sim::simulate(step.graph, {.memory = false, .releases = false}).makespan;
}

Plan plan_with(std::int32_t pipeline, std::int32_t chunks, std::int32_t data, std::int32_t zero_stage) {
  Plan plan;
  plan.pipeline = pipeline;
  plan.virtual_pipeline = chunks;
  plan.schedule = chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  plan.data = data;
  plan.zero_stage = zero_stage;
  return plan;
}

constexpr std::string_view kLong =
    R"({"model": {"layers": 12, "hidden": 512, "ffn_hidden": 2048, "heads": 8, "vocab": 8000},
        "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 512, "global_batch": 24576},
        "software": {"framework": "torchtitan"}})";

}  // namespace

TEST_CASE("steps of up to 4096 micro-batches are simulated one by one; longer ones are whole rounds of the pipeline") {
  CHECK_FALSE(stand_ins(plan_with(4, 1, 1, 0), 4096));
  const auto s = stand_ins(plan_with(6, 2, 1, 0), 4098);
  REQUIRE(s);
  CHECK(s->shorter == 1026);  // the first multiple of 6 from 1024 on
  CHECK(s->longer == 2052);
  // A line through 3 at 1026 and 5 at 2052 reaches 5 + 2 at 3078.
  CHECK(on_line(*s, 3.0, 5.0, 3078) == doctest::Approx(7.0));
  CHECK(on_line(*s, Picoseconds{3000}, Picoseconds{5000}, 3078).count == 7000);
  // Far out, where the slope times the span would not fit into 64 bits.
  CHECK(on_line(*s, Picoseconds{500'000'000'000'000'000}, Picoseconds{1'000'000'000'000'000'000}, 4104).count ==
        2'000'000'000'000'000'000);
}

TEST_CASE("two shorter steps say what a long one takes, to a millionth") {
  const Problem problem = job(kLong);
  for (Plan plan : {plan_with(1, 1, 4, 2), plan_with(1, 1, 4, 3), plan_with(4, 1, 4, 1), plan_with(4, 3, 4, 1),
                    plan_with(6, 2, 1, 0), plan_with(2, 1, 4, 2)}) {
    for (const bool overlap : {false, true}) {
      plan.overlap = {false, overlap, overlap};
      CAPTURE(to_text(plan));
      PlanCosts costs = costs_of(problem, plan);
      costs.micro_batches = 6144;
      PeakMoments moments;
      const double exact = to_seconds(pass_by_pass(problem, plan, costs)).base();
      const double drawn = to_seconds(step_time(problem, plan, costs, moments)).base();
      CHECK(std::abs(drawn - exact) < 1e-6 * exact);
    }
  }
}

TEST_CASE("the parts of a long step sum to it, and are those of its passes") {
  const Problem problem = job(kLong);
  for (Plan plan : {plan_with(1, 1, 4, 3), plan_with(4, 3, 4, 1)}) {
    CAPTURE(to_text(plan));
    const PlanReport report = evaluate(problem, plan);
    REQUIRE_FALSE(report.rejection);
    double sum = 0;
    for (const TimePart& part : report.time) sum += part.time.base();
    CHECK(sum == doctest::Approx(report.step.base()).epsilon(1e-9));
    PeakMoments moments;
    const PlanCosts costs = costs_of(problem, plan);
    REQUIRE(costs.micro_batches == 6144);
    CHECK(report.step == to_seconds(step_time(problem, plan, costs, moments)));
    // 12288 forward and backward passes of the layers on the bounding stage work as long as before.
    double work = 0;
    for (auto k = static_cast<std::size_t>(report.bounding_stage); k < costs.forward.size();
         k += static_cast<std::size_t>(plan.pipeline))
      work += 6144 * to_seconds(costs.forward[k].gpu + costs.backward[k].gpu).base();
    double compute = 0;
    for (const TimePart& part : report.time)
      if (part.name == "compute") compute = part.time.base();
    CHECK(compute == doctest::Approx(work).epsilon(1e-6));
  }
}
