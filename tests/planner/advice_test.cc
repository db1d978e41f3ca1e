// What to try: each change's effect is that of the changed problem, and the obvious ones go the obvious way.
#include "planner/advice.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

const Advice* find(const std::vector<Advice>& all, std::string_view kind) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const Advice& a) { return a.kind == kind; });
  return it == all.end() ? nullptr : &*it;
}

Problem full_recomputation() {
  return job(R"({"model": "llama-3.1-70b", "cluster": {"node": "dgx-h100", "nodes": 4},
                 "training": {"sequence_length": 8192, "global_batch": 64},
                 "plan": {"tensor": 8, "pipeline": 4, "sequence_parallel": true, "zero_stage": 1,
                          "recompute": "full"}})");
}

}  // namespace

TEST_CASE("twice the batch and twice the GPUs are simulated as such") {
  const Problem problem = full_recomputation();
  const PlanReport report = evaluate(problem, *problem.plan);
  REQUIRE(!report.rejection);
  const std::vector<Advice> all = advice(problem, report);
  const Advice* batch = find(all, "global_batch");
  REQUIRE(batch != nullptr);
  Problem twice = problem;
  twice.training.global_batch *= 2;
  CHECK(batch->step == evaluate(twice, *problem.plan).step);
  // The bubble of 3 of 67 slots is now 3 of 131: less than twice the step, more than 1.9 times.
  CHECK(batch->step < 2 * report.step);
  CHECK(batch->step > 1.9 * report.step);
  CHECK(batch->per_gpu_change == doctest::Approx(2 * (report.step / batch->step) - 1));

  const Advice* gpus = find(all, "gpus");
  REQUIRE(gpus != nullptr);
  CHECK(gpus->plan.data == 2 * report.plan.data);
  // Half the micro-batches and the same bubble: 32 + 3 slots instead of 64 + 3, 52 %; gradients are exchanged now.
  CHECK(gpus->step_change == doctest::Approx(35.0 / 67 - 1).epsilon(0.1));
  CHECK(gpus->per_gpu_change < 0);
}

TEST_CASE("more memory buys back what recomputation costs, and says how much is lacking") {
  const Problem problem = full_recomputation();
  const PlanReport report = evaluate(problem, *problem.plan);
  const std::vector<Advice> all = advice(problem, report);
  const Advice* memory = find(all, "memory");
  REQUIRE(memory != nullptr);
  CHECK(memory->step_change < -0.05);
  CHECK(memory->lacks.base() > 0);
  Problem larger = problem;
  larger.cluster.gpu.memory += memory->lacks;
  const PlanReport then = evaluate(larger, memory->plan);
  CHECK(!then.rejection);
  CHECK(then.step == memory->step);
  larger.cluster.gpu.memory -= 1 * MiB;
  CHECK(evaluate(larger, memory->plan).rejection.has_value());
}

TEST_CASE("fp8 is proposed where the GPU has it and the job does not use it") {
  const std::string text = R"({"model": "llama-3.1-8b", "cluster": {"node": "NODE", "nodes": 1},
      "training": {"sequence_length": 8192, "global_batch": 64}, "plan": {"tensor": 2, "recompute": "full"}})";
  const auto proposes = [&](const std::string& node) {
    std::string with_node = text;
    const Problem problem = job(with_node.replace(with_node.find("NODE"), 4, node));
    const std::vector<Advice> all = advice(problem, evaluate(problem, *problem.plan));
    return find(all, "precision") != nullptr;
  };
  CHECK(proposes("dgx-h100"));
  CHECK(!proposes("dgx-a100-80"));
}

TEST_CASE("costlier neighbours differ from the plan, each in its own way, and keep its GPUs") {
  const Problem problem = full_recomputation();
  const Plan& plan = *problem.plan;
  const std::vector<Plan> near = costlier_neighbours(plan);
  CHECK(near.size() == 4);  // no recomputation, twice the micro-batch, half the tensor or pipeline degree
  for (std::size_t i = 0; i < near.size(); ++i) {
    CHECK(!(near[i] == plan));
    CHECK(gpus_used(near[i]) == gpus_used(plan));
    for (std::size_t j = 0; j < i; ++j) CHECK(!(near[i] == near[j]));
  }
  Plan some = plan;
  some.recompute_layers = 1;  // half of one layer would be 0, which means all
  for (const Plan& p : costlier_neighbours(some)) CHECK((p.recompute_layers == 1 || p.recompute == Recompute::none));
}
