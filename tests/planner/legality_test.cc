// One plan a rule that breaks that rule and, mended in one place, none.
#include "planner/legality.h"

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

// 8 heads and 2 key-value heads, 12 layers, 64 GPUs, 64 sequences of 1,024 tokens.
Problem problem_of(FrameworkKind framework) {
  Problem p = job(
      R"({"model": {"layers": 12, "hidden": 1024, "ffn_hidden": 3072, "heads": 8, "kv_heads": 2, "vocab": 32000,
                    "gated_mlp": true},
          "cluster": {"node": "dgx-h100", "nodes": 8},
          "training": {"sequence_length": 1024, "global_batch": 64}})");
  p.software.framework = framework;
  return p;
}

struct Case {
  std::string_view rule;  ///< as break_of_rule says it
  RejectionReason reason;
  FrameworkKind framework;
  void (*break_it)(Problem&, Plan&);  ///< from a plan that is legal
};

constexpr auto kMegatron = FrameworkKind::megatron_core;
using R = RejectionReason;

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"tensor x pipeline x data x context exceeds the GPUs", R::gpus, kMegatron,
       [](Problem& p, Plan& plan) {
         p.cluster.gpus = 31;
         plan.data = 8;  // 2 x 2 x 8 = 32
       }},
      {"global_batch must hold one micro-batch for each data rank", R::batch, kMegatron,
       [](Problem& p, Plan& plan) {
         p.training.global_batch = 7;
         plan.data = 8;
       }},
      {"global_batch must divide by micro_batch x data", R::batch, kMegatron,
       [](Problem&, Plan& plan) { plan.micro_batch = 3; }},
      {"the model has parts that cannot be planned yet", R::model, kMegatron,
       [](Problem& p, Plan&) { p.model.not_plannable = "mixture of experts"; }},
      {"expert parallelism needs a model with experts", R::model, kMegatron,
       [](Problem&, Plan& plan) { plan.expert = 2; }},
      {"attention heads must divide by tensor", R::heads, kMegatron,
       [](Problem&, Plan& plan) {
         plan.tensor = 3;
         plan.sequence_parallel = false;
       }},
      {"key-value heads must divide by tensor, or tensor by them", R::heads, kMegatron,
       [](Problem& p, Plan& plan) {
         p.model.heads = 12;
         p.model.kv_heads = 6;
         plan.tensor = 4;
       }},
      // Megatron repeats key-value heads where tensor is larger; torchtitan refuses.
      {"key-value heads must divide by tensor, or tensor by them", R::heads, FrameworkKind::torchtitan,
       [](Problem&, Plan& plan) { plan.tensor = 4; }},
      {"ffn_hidden must divide by tensor", R::divisibility, kMegatron,
       [](Problem& p, Plan&) { p.model.ffn_hidden = 3073; }},
      {"heads per tensor rank must divide by context (ulysses)", R::heads, kMegatron,
       [](Problem&, Plan& plan) {
         plan.data = 1;
         plan.context = 8;  // 8 / 2 heads
         plan.context_kind = ContextKind::ulysses;
       }},
      {"sequence parallelism needs tensor > 1", R::sequence, kMegatron, [](Problem&, Plan& plan) { plan.tensor = 1; }},
      {"sequence_length must divide by 2 x context", R::sequence, kMegatron,
       [](Problem& p, Plan& plan) {
         p.training.sequence_length = 1022;  // 511 x 2
         plan.context = 2;
       }},
      {"context parallelism needs flash attention", R::sequence, kMegatron,
       [](Problem& p, Plan& plan) {
         p.software.attention = AttentionKind::unfused;
         plan.context = 2;
       }},
      {"sequence_length / context must divide by tensor under sequence parallelism", R::sequence, kMegatron,
       [](Problem& p, Plan&) { p.training.sequence_length = 1023; }},
      {"tensor overlap needs sequence parallelism", R::sequence, kMegatron,
       [](Problem&, Plan& plan) {
         plan.sequence_parallel = false;
         plan.overlap.tensor = true;
       }},
      {"virtual_pipeline of more than 64 is not supported", R::schedule, kMegatron,
       [](Problem&, Plan& plan) {
         plan.virtual_pipeline = 65;
         plan.schedule = ScheduleKind::interleaved;
       }},
      {"the interleaved schedule and virtual_pipeline > 1 go together", R::schedule, kMegatron,
       [](Problem&, Plan& plan) { plan.virtual_pipeline = 2; }},
      {"the interleaved schedule and virtual_pipeline > 1 go together", R::schedule, kMegatron,
       [](Problem&, Plan& plan) { plan.schedule = ScheduleKind::interleaved; }},
      {"virtual_pipeline needs pipeline > 1", R::schedule, kMegatron,
       [](Problem&, Plan& plan) {
         plan.pipeline = 1;
         plan.virtual_pipeline = 2;
         plan.schedule = ScheduleKind::interleaved;
       }},
      {"interleaving over two stages needs overlapped pipeline communication", R::schedule, kMegatron,
       [](Problem&, Plan& plan) {
         plan.virtual_pipeline = 2;
         plan.schedule = ScheduleKind::interleaved;
         plan.overlap.pipeline = false;
       }},
      {"interleaving needs micro-batches that divide by pipeline", R::schedule, kMegatron,
       [](Problem& p, Plan& plan) {
         p.training.global_batch = 36;  // 9 micro-batches of 4 ranks over 2 stages
         plan.virtual_pipeline = 2;
         plan.schedule = ScheduleKind::interleaved;
       }},
      {"stage_layers must name every stage", R::layers, kMegatron,
       [](Problem&, Plan& plan) {
         plan.stage_layers = {4, 4, 4};
       }},
      {"stage_layers must sum to the model's layers", R::layers, kMegatron,
       [](Problem&, Plan& plan) {
         plan.stage_layers = {6, 5};
       }},
      {"there must be a layer for every virtual stage", R::layers, kMegatron,
       [](Problem& p, Plan&) { p.model.layers = 1; }},
      {"layers must divide by pipeline x virtual_pipeline", R::layers, kMegatron,
       [](Problem& p, Plan&) { p.model.layers = 13; }},
      // Counting the embedding as a layer makes 13 of 12.
      {"layers must divide by pipeline x virtual_pipeline", R::layers, kMegatron,
       [](Problem&, Plan& plan) { plan.account_for_embedding = true; }},
      {"recompute_layers exceeds the layers of a chunk", R::layers, kMegatron,
       [](Problem&, Plan& plan) {
         plan.recompute = Recompute::full;
         plan.recompute_layers = 7;  // of 6
       }},
      {"zero_stage is 0, 1, 2 or 3", R::framework, kMegatron, [](Problem&, Plan& plan) { plan.zero_stage = 4; }},
      {"data x context must divide by shard_group", R::divisibility, kMegatron,
       [](Problem&, Plan& plan) { plan.shard_group = 3; }},
      {"ZeRO-2 and ZeRO-3 do not go with pipeline stages in this framework", R::framework, FrameworkKind::deepspeed,
       [](Problem&, Plan& plan) { plan.zero_stage = 2; }},
      {"ZeRO-2 and ZeRO-3 do not go with pipeline stages in this framework", R::framework, kMegatron,
       [](Problem&, Plan& plan) { plan.zero_stage = 3; }},
      {"this framework has no pipeline stages", R::framework, FrameworkKind::fsdp, [](Problem&, Plan&) {}},
      {"this framework has no pipeline stages", R::framework, FrameworkKind::maxtext, [](Problem&, Plan&) {}},
      {"recompute_layers needs full recomputation", R::framework, kMegatron,
       [](Problem&, Plan& plan) { plan.recompute_layers = 1; }},
      {"only the rank order tp-cp-ep-dp-pp is modelled yet", R::framework, kMegatron,
       [](Problem&, Plan& plan) { plan.rank_order = "tp-cp-ep-pp-dp"; }},
      {"offload is not modelled yet", R::framework, kMegatron,
       [](Problem&, Plan& plan) { plan.offload.activations = 0.5; }},
      {"offload is not modelled yet", R::framework, kMegatron,
       [](Problem&, Plan& plan) { plan.offload.optimizer = 1; }},
      {"multi-token prediction layers are not planned yet", R::model, kMegatron,
       [](Problem& p, Plan&) { p.model.mtp_layers = 1; }},
  };
  return all;
}

Plan legal_plan() {
  Plan plan;
  plan.tensor = 2;
  plan.pipeline = 2;
  plan.data = 4;
  plan.sequence_parallel = true;
  return plan;
}

}  // namespace

TEST_CASE("the plan that the cases start from is legal where its framework has pipeline stages") {
  for (const FrameworkKind f :
       {FrameworkKind::megatron_core, FrameworkKind::megatron_deepspeed, FrameworkKind::torchtitan,
        FrameworkKind::deepspeed, FrameworkKind::nanotron, FrameworkKind::generic}) {
    CHECK_FALSE(break_of_rule(problem_of(f), legal_plan()).has_value());
  }
}

TEST_CASE("each rule refuses the plan that breaks it, and says which it is") {
  for (const Case& c : cases()) {
    Problem problem = problem_of(c.framework);
    Plan plan = legal_plan();
    c.break_it(problem, plan);
    const auto rejection = break_of_rule(problem, plan);
    CAPTURE(c.rule);
    REQUIRE(rejection.has_value());
    CHECK(rejection->rule == c.rule);
    CHECK(rejection->reason == c.reason);
    CHECK(rejection->excess == 0);
  }
}

TEST_CASE("whole spaces are refused by no rule that no case above breaks") {
  std::set<std::string_view> tested;
  for (const Case& c : cases()) tested.insert(c.rule);
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      if (const auto r = break_of_rule(problem, plan)) {
        CAPTURE(to_text(plan));
        CHECK(tested.count(r->rule) == 1);
      }
    });
  }
}

TEST_CASE("what frameworks allow beyond Megatron-Core") {
  // DeepSpeed and torchtitan place layers unevenly; torchtitan shards under pipeline stages.
  Problem p = problem_of(FrameworkKind::megatron_deepspeed);
  p.model.layers = 13;
  CHECK_FALSE(break_of_rule(p, legal_plan()).has_value());
  Plan plan = legal_plan();
  plan.zero_stage = 3;
  CHECK_FALSE(break_of_rule(problem_of(FrameworkKind::torchtitan), plan).has_value());
}

TEST_CASE("more tensor ranks than key-value heads repeat them") {
  Problem p = problem_of(kMegatron);
  Plan plan = legal_plan();
  plan.tensor = 8;  // 2 key-value heads, each on four ranks
  CHECK_FALSE(break_of_rule(p, plan).has_value());
}
