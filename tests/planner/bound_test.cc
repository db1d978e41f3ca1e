// The bound is what makes the search exact: it must never exceed the simulated step.
#include "planner/bound.h"

#include <doctest/doctest.h>

#include "planner/lower.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

Picoseconds simulated(const Problem& problem, const Plan& plan, Judge& judge) {
  const StepGraph step = lower(problem, plan, judge.costs(plan), judge.moments(), {.memory = false});
  return sim::simulate(step.graph, {.memory = false, .releases = false}).makespan;
}

}  // namespace

TEST_CASE("the bound never exceeds the simulated step, for every plan of every small space") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    std::int64_t feasible = 0, broken = 0;
    double sum = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      const Judgement j = judge.judge(plan);
      if (j.rejection) return;
      ++feasible;
      const Picoseconds step = simulated(problem, plan, judge);
      sum += to_seconds(j.bound) / to_seconds(step);
      if (j.bound <= step) return;
      if (++broken <= 3) {
        CAPTURE(to_text(plan));
        CHECK(j.bound.count <= step.count);
      }
    });
    CAPTURE(text);
    CHECK(feasible > 10);
    CHECK(broken == 0);
    // A weak bound would pass as well: where launches cost nothing it knows all but the middle of the pipeline.
    if (problem.software.cuda_graphs) CHECK(sum / static_cast<double>(feasible) > 0.88);
  }
}
