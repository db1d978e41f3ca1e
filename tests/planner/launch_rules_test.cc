// Launch rules: every rule of every trainer has a plan that breaks it, and none before it in the table.
#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/export_cases.h"

using namespace foretrain;

namespace {

struct Case {
  std::string_view rule;  ///< how the rule's text begins
  std::function<void(Problem&, Plan&)> change;
};

/// 8 layers of 8 heads on 2 x 8 H100, 48 sequences of 256 tokens; the plan: 16 replicas.
Problem base(FrameworkKind framework) {
  Problem p = job(std::string(R"({"model": {"layers": 8, "hidden": 512, "ffn_hidden": 2048, "heads": 8, "kv_heads": 4,
      "vocab": 1000}, "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 256,
      "global_batch": 48}, "software": {"framework": ")") +
                  std::string(kFrameworkNames[static_cast<std::size_t>(framework)]) + R"("}, "plan": {}})");
  return p;
}

void add_experts(Problem& p) {
  p.model.moe.emplace();
  p.model.moe->experts = 6;
  p.model.moe->experts_per_token = 2;
  p.model.moe->expert_ffn_hidden = 512;
}
void set_pipeline(Plan& q, std::int32_t pipeline, std::int32_t data) {
  q.pipeline = pipeline;
  q.data = data;
}
void set_tensor(Plan& q, std::int32_t tensor, std::int32_t data) {
  q.tensor = tensor;
  q.data = data;
}

/// Checks that the cases break the rules of `trainer` one by one, all of them.
void check_cases(Trainer trainer, const std::vector<Case>& cases) {
  const Problem untouched = base(framework_of(trainer));
  const auto refusal = break_of_launch_rule(trainer, untouched, *untouched.plan);
  CHECK_MESSAGE(!refusal, (refusal ? refusal->rule : ""));
  std::map<std::string_view, int> broken;
  for (const Case& c : cases) {
    CAPTURE(c.rule);
    Problem problem = untouched;
    Plan plan = *problem.plan;
    c.change(problem, plan);
    const auto found = break_of_launch_rule(trainer, problem, plan);
    REQUIRE(found);
    CHECK(found->rule.substr(0, c.rule.size()) == c.rule);
    ++broken[found->rule];
  }
  for (const LaunchRule& rule : launch_rules(trainer)) {
    CAPTURE(rule.text);
    CHECK(broken.count(rule.text) == 1);
  }
}

const std::vector<Case>& megatron_cases() {
  static const std::vector<Case> cases = {
      {"torchrun starts", [](Problem&, Plan& q) { set_pipeline(q, 3, 4); }},             // 12 GPUs on nodes of 8
      {"world size is not", [](Problem& p, Plan& q) { add_experts(p), q.expert = 3; }},  // 16 ranks in threes
      // 16 ranks, two stages, experts over two: 4 expert replicas, 8 others.
      {"expert data parallel size",
       [](Problem& p, Plan& q) {
         add_experts(p), set_pipeline(q, 2, 8), q.expert = 2, q.rank_order = "tp-cp-ep-pp-dp";
       }},
      {"data parallel size x context", [](Problem&, Plan& q) { q.zero_stage = 1, q.shard_group = 3; }},
      {"global batch size", [](Problem&, Plan& q) { q.micro_batch = 5; }},
      // 40 sequences over 4 replicas: 10 micro-batches do not divide by 4 stages.
      {"number of microbatches",
       [](Problem& p, Plan& q) { p.training.global_batch = 40, set_pipeline(q, 4, 4), q.virtual_pipeline = 2; }},
      {"num_attention_heads", [](Problem&, Plan& q) { set_tensor(q, 16, 1); }},
      {"num_query_groups", [](Problem& p, Plan& q) { p.model.heads = 6, p.model.kv_heads = 2, set_tensor(q, 3, 1); }},
      {"ffn, expert", [](Problem& p, Plan& q) { p.model.ffn_hidden = 2047, set_tensor(q, 2, 8); }},
      {"can not use sequence", [](Problem&, Plan& q) { q.sequence_parallel = true; }},
      {"first dimension",
       [](Problem& p, Plan& q) { p.training.sequence_length = 255, set_tensor(q, 2, 8), q.sequence_parallel = true; }},
      {"seq-length should be",
       [](Problem& p, Plan& q) { p.training.sequence_length = 254, q.context = 2, q.data = 8; }},
      {"heads of a tensor rank",
       [](Problem&, Plan& q) { set_tensor(q, 8, 1), q.context = 2, q.context_kind = ContextKind::ulysses; }},
      {"max_position_embeddings",
       [](Problem& p, Plan&) { p.model.position = PositionKind::learned, p.model.max_positions = 100; }},
      {"tensor parallel communication", [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.overlap.tensor = true; }},
      {"pipeline_model_parallel_layout excludes",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.stage_layers = {4, 4}, q.account_for_loss = true;
       }},
      {"the length of pipeline_model",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.stage_layers = {3, 3, 2};
       }},
      {"number of decoder layers",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.stage_layers = {4, 5};
       }},
      {"number of layers should be", [](Problem& p, Plan& q) { p.model.layers = 9, set_pipeline(q, 2, 8); }},
      {"when interleaved schedule is used, pipeline", [](Problem&, Plan& q) { q.virtual_pipeline = 2; }},
      {"when interleaved schedule is used and p2p",
       [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.virtual_pipeline = 2, q.overlap.pipeline = false; }},
      {"non-interleaved schedule", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.overlap.pipeline = true; }},
      {"Megatron-LM runs 1F1B",
       [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.overlap.pipeline = false, q.schedule = ScheduleKind::gpipe; }},
      {"CPU offloading does not work with pipeline",
       [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.overlap.pipeline = false, q.offload.activations = 0.5; }},
      {"CPU offloading does not work when",
       [](Problem&, Plan& q) { q.offload.activations = 0.5, q.recompute = Recompute::full; }},
      {"CPU offloading can be done", [](Problem&, Plan& q) { q.offload.activations = 1; }},
      {"--use-precision-aware-optimizer, which --optimizer-cpu-offload needs, takes adam",
       [](Problem& p, Plan& q) { p.training.optimizer = Optimizer::sgd, q.offload.optimizer = 0.5, q.zero_stage = 1; }},
      {"--use-precision-aware-optimizer, which --optimizer-cpu-offload needs, takes the",
       [](Problem&, Plan& q) { q.offload.optimizer = 0.5; }},
      {"--recompute-num-layers", [](Problem&, Plan& q) { q.recompute = Recompute::selective, q.recompute_layers = 1; }},
      {"ranks lie", [](Problem&, Plan& q) { q.rank_order = "pp-dp-ep-cp-tp"; }},
      {"num_moe_experts", [](Problem&, Plan& q) { q.expert = 2; }},
      {"number of experts", [](Problem& p, Plan& q) { add_experts(p), q.expert = 4; }},
      {"MoE with linear bias",
       [](Problem& p, Plan& q) { add_experts(p), p.model.moe->expert_bias = true, q.expert_tensor = 2; }},
      {"Multi-Token Prediction",
       [](Problem& p, Plan&) {
         p.model.mtp_layers = 1, p.model.position = PositionKind::learned, p.model.max_positions = 256;
       }},
      {"--position-embedding-type", [](Problem& p, Plan&) { p.model.position = PositionKind::alibi; }},
      {"no flag for this activation", [](Problem& p, Plan&) { p.model.activation = Activation::relu; }},
      {"no flag for this layer", [](Problem& p, Plan&) { p.model.norms_per_layer = 4; }},
      {"no flag for these biases", [](Problem& p, Plan&) { p.model.attention_out_bias = true; }},
  };
  return cases;
}

/// Of today's torchtitan and of the TOML one: rules that both have, and those of either.
std::vector<Case> titan_cases(bool is_old) {
  const auto in_stages = [](Plan& q, std::int32_t pipeline, std::int32_t data) { set_pipeline(q, pipeline, data); };
  std::vector<Case> cases = {
      {"torchrun starts", [](Problem&, Plan& q) { set_pipeline(q, 3, 4); }},
      {"global batch must", [](Problem&, Plan& q) { q.micro_batch = 5; }},
      {"expert_parallel_degree is", [](Problem&, Plan& q) { q.expert = 2; }},
      {"dp_shard * cp * tp", [](Problem& p, Plan& q) { add_experts(p), q.expert = 4; }},  // 6 experts over 4
      {"n_heads and n_kv_heads",
       [](Problem&, Plan& q) { set_tensor(q, 8, 2), q.sequence_parallel = true; }},  // 4 kv heads
      {"weight tying", [=](Problem& p, Plan& q) { p.model.tied_embeddings = true, in_stages(q, 2, 8); }},
      {"number of stages", [=](Problem& p, Plan& q) { p.model.layers = 1, in_stages(q, 2, 8); }},
      {"module_fqns",
       [=](Problem&, Plan& q) {
         in_stages(q, 2, 8), q.stage_layers = {4, 5};
       }},
      {"multi-stage schedules",
       [](Problem&, Plan& q) { q.virtual_pipeline = 2, q.schedule = ScheduleKind::interleaved; }},
      // 48 sequences over 16 replicas of one GPU... 8 stages x 2 replicas x micro-batch 4: 6 micro-batches.
      {"1F1B requires", [=](Problem&, Plan& q) { in_stages(q, 8, 2), q.micro_batch = 4; }},
      // 10 micro-batches over 4 stages: two rounds of 5 would do, 7 // 4 = 1 as well; 9 // 4 = 2 rounds do not.
      {"Interleaved1F1B",
       [=](Problem& p, Plan& q) {
         p.training.global_batch = 36, in_stages(q, 4, 4), q.virtual_pipeline = 2,
         q.schedule = ScheduleKind::interleaved;
       }},
      {"async TP", [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.sequence_parallel = true, q.overlap.tensor = true; }},
      {"parameters are sharded", [](Problem&, Plan& q) { q.zero_stage = 1; }},
      {"context parallel ranks",
       [](Problem&, Plan& q) {
         q.zero_stage = 0, q.context = 2, q.data = 8, q.context_kind = ContextKind::all_gather;
       }},
      {"dp_replicate * dp_shard", [](Problem&, Plan& q) { q.shard_group = 3; }},
      {"full activation checkpointing",
       [](Problem&, Plan& q) { q.recompute = Recompute::full, q.recompute_layers = 2; }},
      {"FSDP always", [](Problem&, Plan& q) { q.overlap.data = false; }},
      {"pipeline stages wait", [=](Problem&, Plan& q) { in_stages(q, 2, 8), q.overlap.pipeline = true; }},
      {"the mesh is", [](Problem&, Plan& q) { q.rank_order = "pp-dp-ep-cp-tp"; }},
      {"enable_cpu_offload", [](Problem&, Plan& q) { q.offload.optimizer = 1; }},
      {"models are Llama-like", [](Problem& p, Plan&) { p.model.norm = NormKind::layer; }},
      {"optimizers are", [](Problem& p, Plan&) { p.training.optimizer = Optimizer::sgd; }},
  };
  if (is_old) {
    cases.push_back({"expert_tensor_parallel_degree", [](Problem&, Plan& q) { q.expert_tensor = 3; }});
    cases.push_back({"seq_len must", [](Problem& p, Plan&) { p.training.sequence_length = 254; }});
    cases.back().change = [](Problem& p, Plan& q) { p.training.sequence_length = 254, q.context = 2, q.data = 8; };
    cases.push_back(
        {"tensor parallelism always", [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.sequence_parallel = false; }});
    cases.push_back({"context_parallel_rotate_method",
                     [](Problem&, Plan& q) { q.context = 2, q.data = 8, q.context_kind = ContextKind::ulysses; }});
    cases.push_back({"there is neither", [](Problem& p, Plan&) { p.training.precision = Precision::nvfp4; }});
  } else {
    cases.push_back({"there is no expert tensor", [](Problem&, Plan& q) { q.expert_tensor = 2; }});
    cases.push_back({"the number of tokens",
                     [](Problem& p, Plan& q) { p.training.sequence_length = 254, q.context = 2, q.data = 8; }});
    cases.push_back({"CUDA graphs", [=](Problem& p, Plan& q) { p.software.cuda_graphs = true, in_stages(q, 2, 8); }});
    cases.push_back({"multi-token", [=](Problem& p, Plan& q) { p.model.mtp_layers = 1, in_stages(q, 2, 8); }});
    cases.push_back({"context parallelism is", [](Problem&, Plan& q) { q.context = 2, q.data = 8; }});
    cases.push_back({"there is no fp16", [](Problem& p, Plan&) { p.training.precision = Precision::fp16; }});
  }
  return cases;
}

const std::vector<Case>& deepspeed_cases() {
  static const std::vector<Case> cases = {
      {"deepspeed starts", [](Problem&, Plan& q) { set_pipeline(q, 3, 4); }},
      {"train_batch_size", [](Problem&, Plan& q) { q.micro_batch = 5; }},
      {"ZeRO-2 and ZeRO-3", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.zero_stage = 2; }},
      {"the pipeline engine has no", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.virtual_pipeline = 2; }},
      {"the pipeline engine runs", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.schedule = ScheduleKind::gpipe; }},
      {"pipeline.partition is",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.stage_layers = {3, 5};
       }},
      {"pipeline.partition uniform", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.account_for_loss = true; }},
      {"activation checkpointing of part",
       [](Problem&, Plan& q) { q.recompute = Recompute::full, q.recompute_layers = 1; }},
      {"selective", [](Problem&, Plan& q) { q.recompute = Recompute::selective; }},
      {"tensor_parallel.autotp_size shards",
       [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.sequence_parallel = true; }},
      {"tensor_parallel.autotp_size overlaps", [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.overlap.tensor = true; }},
      {"the pipeline engine waits", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.overlap.pipeline = true; }},
      {"sequence_parallel_size", [](Problem&, Plan& q) { q.context = 2, q.data = 8; }},
      {"mics_shard_size", [](Problem&, Plan& q) { q.zero_stage = 2, q.shard_group = 8; }},
      {"ep_size", [](Problem&, Plan& q) { q.expert = 2; }},
      {"activations are", [](Problem&, Plan& q) { q.offload.activations = 1; }},
      {"offload_optimizer needs", [](Problem&, Plan& q) { q.offload.optimizer = 1; }},
      {"offload_optimizer.ratio", [](Problem&, Plan& q) { q.offload.optimizer = 0.5, q.zero_stage = 1; }},
      {"ranks lie", [](Problem&, Plan& q) { q.rank_order = "pp-dp-ep-cp-tp"; }},
      {"ds_config knows", [](Problem& p, Plan&) { p.training.precision = Precision::fp8; }},
  };
  return cases;
}

const std::vector<Case>& nanotron_cases() {
  static const std::vector<Case> cases = {
      {"torchrun starts", [](Problem&, Plan& q) { set_pipeline(q, 3, 4); }},
      {"global batch is", [](Problem&, Plan& q) { q.micro_batch = 5; }},
      {"num_attention_heads", [](Problem&, Plan& q) { set_tensor(q, 16, 1); }},
      {"num_key_value_heads", [](Problem&, Plan& q) { set_tensor(q, 8, 2); }},
      {"the width of a head", [](Problem& p, Plan&) { p.model.head_dim = 128; }},
      {"models are Llama-like", [](Problem& p, Plan&) { p.model.norm = NormKind::layer; }},
      {"there are no norms", [](Problem& p, Plan&) { p.model.qk_norm_params = 128; }},
      {"experts are not", [](Problem& p, Plan&) { add_experts(p); }},
      {"pp_engine",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.virtual_pipeline = 2, q.schedule = ScheduleKind::interleaved;
       }},
      {"stages are cut by the blocks' cost: no",
       [](Problem&, Plan& q) {
         set_pipeline(q, 2, 8), q.stage_layers = {3, 5};
       }},
      {"stages are cut by the blocks' cost: embedding",
       [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.account_for_loss = true; }},
      {"layers that do not", [](Problem& p, Plan& q) { p.model.layers = 9, set_pipeline(q, 2, 8); }},
      {"recompute_layer takes every", [](Problem&, Plan& q) { q.recompute = Recompute::full, q.recompute_layers = 1; }},
      {"recompute_layer takes whole", [](Problem&, Plan& q) { q.recompute = Recompute::selective; }},
      {"optimizer.zero_stage", [](Problem&, Plan& q) { q.zero_stage = 2; }},
      {"ZeRO-1 shards", [](Problem&, Plan& q) { q.zero_stage = 1, q.shard_group = 8; }},
      {"tp_linear_async", [](Problem&, Plan& q) { set_tensor(q, 2, 8), q.overlap.tensor = true; }},
      {"gradients are always", [](Problem&, Plan& q) { q.overlap.data = false; }},
      {"pipeline stages wait", [](Problem&, Plan& q) { set_pipeline(q, 2, 8), q.overlap.pipeline = true; }},
      {"sequence length must",
       [](Problem& p, Plan& q) { p.training.sequence_length = 254, q.context = 2, q.data = 8; }},
      {"context parallelism gathers", [](Problem&, Plan& q) { q.context = 2, q.data = 8; }},
      {"nothing is kept", [](Problem&, Plan& q) { q.offload.optimizer = 1; }},
      {"ranks lie", [](Problem&, Plan& q) { q.rank_order = "pp-dp-ep-cp-tp"; }},
      {"model.dtype", [](Problem& p, Plan&) { p.training.precision = Precision::fp8; }},
  };
  return cases;
}

}  // namespace

TEST_CASE("each rule of torchtitan, of today and before, has a plan that breaks it first") {
  check_cases(Trainer::torchtitan, titan_cases(false));
  check_cases(Trainer::torchtitan_toml, titan_cases(true));
}
TEST_CASE("each rule of DeepSpeed has a plan that breaks it first") {
  check_cases(Trainer::deepspeed, deepspeed_cases());
}
TEST_CASE("each rule of nanotron has a plan that breaks it first") { check_cases(Trainer::nanotron, nanotron_cases()); }

TEST_CASE("each rule of Megatron-Bridge has a plan that breaks it first") {
  std::vector<Case> cases = megatron_cases();
  cases.push_back({"GPTModelProvider has no", [](Problem& p, Plan&) { p.model.mtp_layers = 1; }});
  cases.push_back({"GPTModelProvider's learned",
                   [](Problem& p, Plan&) { p.model.position = PositionKind::learned, p.model.max_positions = 512; }});
  check_cases(Trainer::megatron_bridge, cases);
}

TEST_CASE("each rule of Megatron-LM has a plan that breaks it first") {
  check_cases(Trainer::megatron_lm, megatron_cases());
}

TEST_CASE("a search for a trainer finds the best of what it launches, and counts the rest by rule") {
  // The search must be as exact as without: compare with filtering the whole ranking.
  const std::string_view text = R"({"model": {"layers": 6, "hidden": 512, "ffn_hidden": 1536, "heads": 8, "kv_heads": 2,
      "vocab": 5000}, "cluster": {"node": "dgx-h100", "gpus": 16}, "training": {"sequence_length": 256, "global_batch": 48},
      "search": {"micro_batch": [1, 2]}})";
  Problem problem = job(text);
  SearchOptions all;
  all.top = 1'000'000;
  std::vector<std::string> expected;
  for (const PlanReport& report : search(problem, all).plans)
    if (!break_of_launch_rule(Trainer::megatron_lm, problem, report.plan)) expected.push_back(to_json(report.plan));
  problem.trainer = Trainer::megatron_lm;
  const SearchResult found = search(problem, all);
  std::vector<std::string> plans;
  for (const PlanReport& report : found.plans) plans.push_back(to_json(report.plan));
  CHECK(plans == expected);
  CHECK(plans.size() > 100);
  // Considered = rejected + simulated + cut: none is lost. What a launch rule refused was legal otherwise.
  std::int64_t rejected = 0, by_launch_rule = 0, counted = 0;
  for (const std::int64_t n : found.rejected) rejected += n;
  for (const std::int64_t n : found.rejected_by_launch_rule) by_launch_rule += n;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    if (!break_of_rule(problem, plan) && break_of_launch_rule(Trainer::megatron_lm, problem, plan)) ++counted;
  });
  CHECK(found.considered == rejected + found.simulated + found.cut_by_bound);
  CHECK(by_launch_rule == counted);
  CHECK(by_launch_rule > 0);
}
