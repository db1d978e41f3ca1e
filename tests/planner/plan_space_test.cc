// The plan space: which plans a search looks at.
#include "planner/plan_space.h"

#include <algorithm>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "planner/legality.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

TEST_CASE("no plan is visited twice, packing loses nothing, groups share their blocks") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    const PlanSpace space(problem);
    std::set<std::string> seen;
    for (std::size_t g = 0; g < space.group_count(); ++g) {
      std::optional<BlockShape> shape;
      space.visit_group(g, [&](const Plan& plan) {
        CHECK(seen.insert(to_json(plan)).second);
        CHECK(space.unpack(space.pack(plan)) == plan);
        BlockShape now = block_shape(problem, plan);
        now.tensor_overlap = false;  // follows from the virtual degree in some frameworks
        if (shape) CHECK(*shape == now);
        shape = now;
      });
    }
    CHECK(seen.size() > 20);
  }
}

TEST_CASE("every legal plan of an open search is visited: counted from the rules instead") {
  // Every combination of small degrees, kept when no rule refuses it and the data degree is the largest possible.
  const Problem problem = job(
      R"({"model": {"layers": 6, "hidden": 96, "ffn_hidden": 180, "heads": 6, "kv_heads": 3, "vocab": 500,
                    "gated_mlp": true},
          "cluster": {"node": "dgx-h100", "gpus": 10}, "training": {"sequence_length": 96, "global_batch": 12}})");
  std::set<std::string> visited, expected;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    if (!break_of_rule(problem, plan)) visited.insert(to_json(plan));
  });
  Plan plan;
  for (plan.tensor = 1; plan.tensor <= 10; ++plan.tensor)
    for (plan.pipeline = 1; plan.tensor * plan.pipeline <= 10; ++plan.pipeline)
      for (plan.virtual_pipeline = 1; plan.virtual_pipeline <= 8; ++plan.virtual_pipeline)
        for (plan.micro_batch = 1; plan.micro_batch <= 12; plan.micro_batch *= 2)
          for (int flags = 0; flags < 8; ++flags)
            for (plan.zero_stage = 0; plan.zero_stage <= 3; ++plan.zero_stage)
              for (const Recompute r : {Recompute::none, Recompute::selective, Recompute::full})
                for (plan.recompute_layers = 0; plan.recompute_layers <= 6; ++plan.recompute_layers)
                  for (const ScheduleKind k :
                       {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved}) {
                    plan.recompute = r;
                    plan.schedule = k;
                    plan.sequence_parallel = (flags & 1) != 0;
                    plan.account_for_embedding = (flags & 2) != 0;
                    plan.account_for_loss = (flags & 4) != 0;
                    plan.overlap = default_overlap(problem.software, plan.tensor, plan.virtual_pipeline);
                    plan.data = 0;
                    for (std::int32_t d = 1; d * plan.tensor * plan.pipeline <= 10; ++d)
                      if (12 % (d * plan.micro_batch) == 0) plan.data = d;
                    if (plan.data == 0 || break_of_rule(problem, plan)) continue;
                    // What means the same is looked at once: on one stage or with one micro-batch the schedule; on one
                    // stage what counts as a layer; on one data rank every ZeRO stage; all layers of a chunk are 0.
                    const std::int32_t chunk =
                        (6 + plan.pipeline * plan.virtual_pipeline - 1) / (plan.pipeline * plan.virtual_pipeline);
                    if (plan.pipeline == 1 && (k != ScheduleKind::one_f_one_b || flags >= 2)) continue;
                    if (plan.data == 1 && plan.zero_stage > 0) continue;
                    if (k == ScheduleKind::gpipe && micro_batches(problem, plan) == 1) continue;
                    if (plan.recompute_layers >= chunk) continue;
                    if (r == Recompute::selective) continue;  // flash attention keeps nothing of the core
                    expected.insert(to_json(plan));
                  }
  CHECK(visited.size() > 100);
  CHECK(visited == expected);
}

TEST_CASE("a fixed key holds for every plan, a list for the plans together") {
  const Problem problem = job(
      R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 4},
          "training": {"sequence_length": 4096, "global_batch": 64},
          "search": {"tensor": [2, 4], "pipeline": 2, "virtual_pipeline": [1, 4], "micro_batch": 2, "zero_stage": 1,
                     "sequence_parallel": true, "recompute": ["selective"], "data": 4, "schedule": "interleaved"}})");
  std::set<std::int32_t> tensor;
  std::int64_t count = 0;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    ++count;
    tensor.insert(plan.tensor);
    CHECK(plan.pipeline == 2);
    CHECK(plan.micro_batch == 2);
    CHECK(plan.zero_stage == 1);
    CHECK(plan.data == 4);
    CHECK(plan.sequence_parallel);
    CHECK(plan.recompute == Recompute::selective);
    CHECK(plan.schedule == ScheduleKind::interleaved);
    CHECK(plan.virtual_pipeline == 4);
  });
  CHECK(count > 0);
  CHECK(tensor == std::set<std::int32_t>{2, 4});
}

TEST_CASE("GPUs that do not divide: as many replicas as fit and the batch divides by") {
  // 1000 GPUs / (8 x 16) = 7.8: seven replicas need a batch that divides by 7.
  const auto replicas = [](std::int64_t batch) {
    Problem problem = job(
        R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "gpus": 1000},
            "training": {"sequence_length": 2048, "global_batch": 1792},
            "search": {"tensor": 8, "pipeline": 16, "micro_batch": 1, "virtual_pipeline": 1}})");
    problem.training.global_batch = batch;
    std::int32_t data = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) { data = std::max(data, plan.data); });
    return data;
  };
  CHECK(replicas(1792) == 7);  // 256 x 7
  CHECK(replicas(1536) == 6);  // 512 x 3: not by 7
  CHECK(replicas(5) == 5);
}
