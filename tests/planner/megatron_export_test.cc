// Megatron-LM: what is written is legal, keeps to its launch rules, and reads back as the same plan.
#include <cstdio>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "planner/export/megatron_arguments.h"
#include "planner/import/megatron_flags.h"
#include "planner/import/megatron_text.h"
#include "tests/planner/export_cases.h"

using namespace foretrain;

namespace {

constexpr std::string_view kLlama = R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 4},
    "training": {"sequence_length": 8192, "global_batch": 128}, "software": {"framework": "megatron-core"}})";
constexpr std::string_view kGpt = R"({"model": {"layers": 24, "hidden": 2048, "ffn_hidden": 8192, "heads": 16,
    "vocab": 50257, "gated_mlp": false, "dropout": 0.1}, "cluster": {"node": "dgx-a100-80", "nodes": 2},
    "training": {"sequence_length": 2048, "global_batch": 96, "precision": "fp16"},
    "search": {"context": [1, 2], "context_kind": ["ring", "ulysses", "all-gather"]}})";

void check_flags(const Problem& problem, const Plan& plan) {
  const MegatronArguments arguments = megatron_arguments(problem, plan);
  std::set<std::string> given;
  for (const auto* list : {&arguments.model, &arguments.training, &arguments.parallel}) {
    for (const MegatronArgument& a : *list) {
      CAPTURE(a.flag);
      const auto known = megatron_flags().find(a.flag);
      REQUIRE(known != megatron_flags().end());
      CHECK((known->second.kind == FlagKind::flag) == a.value.empty());
      std::string value = a.value;
      std::erase(value, '\'');
      if (!value.empty()) CHECK(why_not_legal(known->second, value) == "");
      CHECK(given.insert(a.flag).second);  // once each
    }
  }
}

void check_round_trip(const Problem& problem, const Plan& plan) {
  CAPTURE(to_json(plan));
  check_flags(problem, plan);
  const Problem back = read_back("megatron-lm", exporter_named("megatron-lm").write(problem, plan), problem);
  CHECK(canonical(*back.plan) == canonical(plan));
  CHECK(back.training.global_batch == problem.training.global_batch);
  CHECK(back.training.sequence_length == problem.training.sequence_length);
  CHECK(back.training.precision == problem.training.precision);
  CHECK(back.software.attention == problem.software.attention);
  CHECK(count_parameters(back.model).total == count_parameters(problem.model).total);
}

}  // namespace

TEST_CASE("every launchable plan of the small spaces is written with legal flags and reads back as itself") {
  int plans = 0;
  for_each_launchable(Trainer::megatron_lm, 3, [&](const Problem& problem, const Plan& plan) {
    check_round_trip(problem, plan);
    ++plans;
  });
  CHECK(plans >= 300);
}

TEST_CASE("the winners of real searches read back as themselves") {
  int plans = 0;
  for (const std::string_view text : {kLlama, kGpt}) {
    for_each_winner(Trainer::megatron_lm, text, 150, [&](const Problem& problem, const Plan& plan) {
      CHECK(!why_not_exported(exporter_named("megatron-lm"), problem, plan));
      check_round_trip(problem, plan);
      ++plans;
    });
  }
  CHECK(plans == 300);
}

TEST_CASE("mixtures of experts, latent attention and multi-token prediction are written and read back") {
  for (const char* model : {"deepseek-v3", "mixtral-8x7b", "qwen3-30b-a3b"}) {
    CAPTURE(model);
    const Problem problem = job(std::string(R"({"model": ")") + model + R"(",
      "cluster": {"node": "dgx-h100", "nodes": 16}, "training": {"sequence_length": 4096, "global_batch": 1024},
      "plan": {"tensor": 2, "expert": 8, "sequence_parallel": true, "zero_stage": 1}})");
    CHECK(!why_not_exported(exporter_named("megatron-lm"), problem, *problem.plan));
    check_round_trip(problem, *problem.plan);
    const Problem back = read_back("megatron-lm", exporter_named("megatron-lm").write(problem, *problem.plan), problem);
    REQUIRE(back.model.moe);
    CHECK(back.model.moe->dense_layers == problem.model.moe->dense_layers);
    CHECK(back.model.mtp_layers == problem.model.mtp_layers);
    CHECK(count_parameters(back.model).active == count_parameters(problem.model).active);
  }
}

TEST_CASE("scripts as people write them become the job that they start") {
  const auto import = [](const char* name) {
    const std::string path = std::string("tests/data/scripts/") + name;
    const ImportedJob imported = import_config(importer_named("megatron-lm"), path);
    SpecNode job = SpecNode::parse(imported.job_json, path);
    return load_problem(with_override(job, "cluster", R"({"node": "dgx-h100", "nodes": 16})"), test_catalogue());
  };
  const Problem llama = import("llama_70b_slurm.sh");
  CHECK(count_parameters(llama.model).total == 70'553'706'496);  // Llama-3.1-70B
  CHECK(llama.training.precision == Precision::fp8);
  CHECK(llama.training.global_batch == 512);
  // 16 nodes of 8 over TP 8 x PP 4: DP 4. 80 layers in 4 x 5 chunks.
  CHECK(to_text(*llama.plan) == "TP8 PP4 VPP5 DP4 mbs1 interleaved SP ZeRO-1 full(1)");
  CHECK(llama.plan->overlap == Overlap{.tensor = false, .data = true, .pipeline = true});
  const Problem gpt = import("gpt_single_node.sh");
  CHECK(to_text(*gpt.plan) == "TP2 PP1 DP4 mbs4 selective");
  CHECK(gpt.model.vocab == 50257);
  CHECK(gpt.model.dropout == doctest::Approx(0.1));  // arguments.py: --hidden-dropout 0.1 when nobody says
  CHECK(gpt.model.tied_embeddings);
  CHECK(gpt.training.precision == Precision::fp16);
  const Problem deepseek = import("deepseek_in_string.sh");
  REQUIRE(deepseek.model.moe);
  REQUIRE(deepseek.model.mla);
  CHECK(deepseek.model.moe->dense_layers == 1);
  CHECK(deepseek.model.mla->qk_rope_head_dim == 32);
  CHECK(deepseek.plan->expert == 8);
  CHECK(deepseek.plan->zero_stage == 3);
}

TEST_CASE("a layout is written as Megatron-LM reads it") {
  // Two stages of two chunks: E and t on the first, L on the last.
  CHECK(megatron_layout({1, 2, 3, 0}, 1) == "Et|t*2|t*3|mL");
  std::string why;
  CHECK(read_megatron_layout("Et|t*2|t*3|mL", why) == std::vector<std::int32_t>{1, 2, 3, 0});
  // parse_str_to_list's own example: "Ettt|(tt|)*29,m|L".
  const auto stages = read_megatron_layout("Ettt|(tt|)*29,m|L", why);
  REQUIRE(stages);
  CHECK(stages->size() == 32);
  CHECK(stages->front() == 3);
  CHECK((*stages)[1] == 2);
  CHECK((*stages)[30] == 0);
  CHECK(stages->back() == 0);
  for (const char* wrong : {"tt|tL", "Et|t", "Et|tLE", "Et|xL", "E(t|L", "Et*99999999999L", "Em|tL", ""}) {
    CAPTURE(wrong);
    CHECK(!read_megatron_layout(wrong, why));
    CHECK(why != "");
  }
}

TEST_CASE("layer frequencies are Python lists or n") {
  const auto dense_then_all = read_layer_frequency("([0]*3+[1]*58)", 61);
  REQUIRE(dense_then_all);
  CHECK(dense_then_all->dense == 3);
  CHECK(dense_then_all->every == 1);
  const auto every_second = read_layer_frequency("[0,1]*12", 24);
  REQUIRE(every_second);
  CHECK(every_second->every == 2);
  CHECK(every_second->dense == 0);
  CHECK(read_layer_frequency("1", 5)->every == 1);
  for (const char* wrong : {"[0]*3+[1]*57", "[1,0,0,1]", "[0]*", "((((", "[0]*61", "", "x"})
    CHECK(!read_layer_frequency(wrong, 61));
}

TEST_CASE("CUDA_DEVICE_MAX_CONNECTIONS is 1 where Megatron-LM asserts it, unset for FSDP") {
  const auto script = [](const char* node, const char* plan) {
    const Problem p =
        job(std::string(R"({"model": "llama-3.1-8b", "cluster": {"node": ")") + node +
            R"(", "nodes": 1}, "training": {"sequence_length": 4096, "global_batch": 64}, "plan": )" + plan + "}");
    return exporter_named("megatron-lm").write(p, *p.plan);
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(script("dgx-h100", R"({"tensor": 2})"), "export CUDA_DEVICE_MAX_CONNECTIONS=1\n"));
  CHECK(has(script("dgx-h100", R"({"context": 2})"), "export CUDA_DEVICE_MAX_CONNECTIONS=1\n"));
  CHECK(!has(script("dgx-h100", R"({"pipeline": 2})"), "CUDA_DEVICE_MAX_CONNECTIONS"));
  CHECK(!has(script("dgx-b200", R"({"tensor": 2})"), "CUDA_DEVICE_MAX_CONNECTIONS"));
  CHECK(has(script("dgx-h100", R"({"zero_stage": 3})"), "unset CUDA_DEVICE_MAX_CONNECTIONS\n"));
}
