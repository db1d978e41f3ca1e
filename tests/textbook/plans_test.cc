// Textbook numbers of plans: how degrees multiply to GPUs, and the least batch.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "planner/legality.h"
#include "planner/report.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

TEST_CASE("GPT-3 175B on 1000 A100 uses 8 x 16 x 7 = 896") {
  // 1000 / (8 x 16) = 7.8 replicas; 104 GPUs stay idle. The batch must divide by 7: 1792 = 256 x 7 sequences.
  const Problem problem = job(
      R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "gpus": 1000},
          "training": {"sequence_length": 2048, "global_batch": 1792},
          "search": {"tensor": 8, "pipeline": 16, "virtual_pipeline": 1, "micro_batch": 1},
          "plan": {"tensor": 8, "pipeline": 16, "zero_stage": 1, "sequence_parallel": true, "recompute": "full"}})");
  CHECK(problem.plan->data == 7);
  CHECK(gpus_used(*problem.plan) == 896);
  std::int64_t most = 0;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) { most = std::max(most, gpus_used(plan)); });
  CHECK(most == 896);
  const PlanReport r = evaluate(problem, *problem.plan);
  CHECK_FALSE(r.rejection.has_value());  // it runs, and fits
  // Speed is per GPU in use: 1792 x 2048 tokens over 896.
  CHECK(r.tokens_per_second_per_gpu * r.step.base() == doctest::Approx(1792.0 * 2048 / 896));
}

TEST_CASE("8 x 8 x 64 = 4096; Llama 70B on 256 = 8 x 4 x 8") {
  const auto plan_on = [](const char* model, int nodes, int tensor, int pipeline) {
    const std::string text = R"({"model": ")" + std::string(model) + R"(", "cluster": {"node": "dgx-h100", "nodes": )" +
                             std::to_string(nodes) +
                             R"(}, "training": {"sequence_length": 2048, "global_batch": 1024}, "plan": {"tensor": )" +
                             std::to_string(tensor) + R"(, "pipeline": )" + std::to_string(pipeline) +
                             R"(, "zero_stage": 1, "sequence_parallel": true, "recompute": "full"}})";
    const Problem problem = job(text);
    CHECK_FALSE(evaluate(problem, *problem.plan).rejection.has_value());
    return *problem.plan;
  };
  const Plan large = plan_on("gpt3-175b", 512, 8, 8);
  CHECK(large.data == 64);
  CHECK(gpus_used(large) == 4096);
  const Plan llama = plan_on("llama-3.1-70b", 32, 8, 4);
  CHECK(llama.data == 8);
  CHECK(gpus_used(llama) == 256);
}

TEST_CASE("the least effective batch is the data-parallel degree") {
  Problem problem = job(
      R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 4},
          "training": {"sequence_length": 4096, "global_batch": 32}})");
  Plan plan;
  plan.data = 32;
  CHECK_FALSE(break_of_rule(problem, plan).has_value());
  CHECK(micro_batches(problem, plan) == 1);
  problem.training.global_batch = 31;
  const auto rejection = break_of_rule(problem, plan);
  REQUIRE(rejection.has_value());
  CHECK(rejection->reason == RejectionReason::batch);
  std::int32_t most = 0;
  for_each_plan(problem, [&](const Plan& p, std::int64_t) { most = std::max(most, p.data); });
  CHECK(most == 31);
}
