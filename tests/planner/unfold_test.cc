// Every rank by itself: on a healthy cluster the folded step; on a faulty one what its classes of replicas take.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "planner/plan_replicas.h"
#include "planner/report.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

Problem with_faults(std::string_view job, const std::string& faults) {
  return load_problem(with_override(SpecNode::parse(job, "job.json"), "cluster.faults", faults), test_catalogue());
}

struct Steps {
  double folded = 0, unfolded = 0;
};

/// Both steps of a plan, in seconds.
Steps steps_of(const Problem& problem, const Plan& plan, Judge& judge) {
  const FrameworkSpec framework = framework_spec(problem);
  const auto blocks = std::make_shared<const BlockCosts>(block_costs(problem, block_shape(problem, plan), framework));
  PlanReplicas replicas(problem, true);
  const StepGraph ranks = lower(problem, plan, replicas.ranks_of(plan, blocks, framework), judge.moments(),
                                {.memory = false, .network = &replicas.groups()});
  REQUIRE(std::ssize(ranks.graph.devices()) == gpus_used(plan));
  return {to_seconds(judge.step_time(plan)).base(),
          to_seconds(sim::simulate(ranks.graph, {.memory = false, .releases = false}).makespan).base()};
}

}  // namespace

TEST_CASE("on a healthy cluster every rank by itself takes the folded step, for plans of every small space") {
  std::int64_t plans = 0, equal = 0;
  double worst = 0;
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 7 != 0 || judge.judge(plan).rejection) return;
      const Steps steps = steps_of(problem, plan, judge);
      ++plans;
      equal += steps.folded == steps.unfolded ? 1 : 0;
      const double error = std::abs(steps.unfolded / steps.folded - 1);
      worst = std::max(worst, error);
      if (error < 0.01) return;
      CAPTURE(text);
      CAPTURE(to_text(plan));
      CHECK(steps.unfolded == doctest::Approx(steps.folded).epsilon(0.01));
    });
  }
  CHECK(plans > 1000);
  CHECK(equal > plans * 8 / 10);  // the others: messages of both directions and reductions meet on a port
  CHECK(worst < 0.01);
}

TEST_CASE("with a straggler, a slow cable or a dead NIC the ranks take what classes of replicas take") {
  std::int64_t plans = 0;
  double worst = 0;
  for (const std::size_t space : {0U, 2U, 4U, 6U, 8U}) {
    for (const char* faults :
         {R"({"node0": {"gpu3": 0.6}})", R"({"node1": {"nic1": 0.2}})", R"({"node1": {"nic1": 0}})"}) {
      const Problem problem = with_faults(kSmallSpaces[space], faults);
      Judge judge(problem);
      for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
        if (order % 29 != 0 || judge.judge(plan).rejection) return;
        const Steps steps = steps_of(problem, plan, judge);
        ++plans;
        const double error = std::abs(steps.unfolded / steps.folded - 1);
        worst = std::max(worst, error);
        if (error < 0.01) return;
        CAPTURE(kSmallSpaces[space]);
        CAPTURE(faults);
        CAPTURE(to_text(plan));
        CHECK(steps.unfolded == doctest::Approx(steps.folded).epsilon(0.01));
      });
    }
  }
  CHECK(plans > 300);
  CHECK(worst < 0.01);
}
