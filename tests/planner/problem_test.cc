// Jobs and published runs become problems.
#include "planner/problem.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

/// A job with `more` keys beside model, cluster (2 DGX H100) and training.
Problem load_job(const std::string& more) {
  const std::string text = fmt::format(
      R"({{"schema": "foretrain.job/1", "model": "llama-3.1-8b", "cluster": {{"node": "dgx-h100", "nodes": 2}},
          "training": {{"sequence_length": 4096, "global_batch": 64}}{}}})",
      more);
  return load_problem(SpecNode::parse(text, "job.json"), Catalogue::load());
}
std::string error_of(const std::string& more) {
  try {
    static_cast<void>(load_job(more));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a job names its model, cluster and batch, and has defaults for the rest") {
  const Problem p = load_job("");
  CHECK(p.model.layers == 32);
  CHECK(p.cluster.gpus == 16);
  CHECK(p.training.global_batch == 64);
  CHECK(p.training.precision == Precision::bf16);
  CHECK(p.training.optimizer == Optimizer::adam);
  CHECK(p.software.framework == FrameworkKind::megatron_core);
  CHECK(p.software.attention == AttentionKind::flash);
  CHECK_FALSE(p.plan.has_value());
  CHECK(p.search.tensor.empty());
  CHECK(p.efficiency.gpu == "h100-sxm5-80gb");
}

TEST_CASE("the example job loads, and its echo loads again") {
  const Catalogue catalogue = Catalogue::load();
  const SpecNode job = SpecNode::read_file("examples/llama3_70b_256_h100/job.json");
  const Problem p = load_problem(job, catalogue);
  CHECK(count_parameters(p.model).total == 70'553'706'496);
  CHECK(p.cluster.gpus == 256);
  REQUIRE(p.plan.has_value());
  const Problem again = load_problem(SpecNode::parse(p.job_json, "echo"), catalogue);
  CHECK(again.plan == p.plan);
  CHECK(again.job_json == p.job_json);
}

TEST_CASE("an override of a job is read as if it stood in the file") {
  const Catalogue catalogue = Catalogue::load();
  const SpecNode job = SpecNode::read_file("examples/llama3_70b_256_h100/job.json");
  const Problem p = load_problem(with_override(job, "training.global_batch", "512"), catalogue);
  CHECK(p.training.global_batch == 512);
  CHECK(load_problem(with_override(job, "model", "llama3-8b"), catalogue).model.layers == 32);
}

TEST_CASE("models are read from files beside the job") {
  const Catalogue catalogue = Catalogue::load();
  const std::string text = R"({"model": "hf_configs/Llama-3.1-8B.json", "cluster": {"node": "dgx-h100", "nodes": 1},
                              "training": {"sequence_length": 8192, "global_batch": 8}})";
  const Problem p = load_problem(SpecNode::parse(text, "tests/data/job.json"), catalogue);
  CHECK(p.model.name == "Llama-3.1-8B");
  CHECK(count_parameters(p.model).total == 8'030'261'248);
}

TEST_CASE("a learned position table is as long as the sequence when the model does not say") {
  const Problem p = load_problem(
      SpecNode::parse(
          R"({"model": {"layers": 2, "hidden": 64, "ffn_hidden": 256, "heads": 2, "vocab": 100, "gated_mlp": false},
          "cluster": {"node": "dgx-h100", "nodes": 1}, "training": {"sequence_length": 3000, "global_batch": 8}})",
          "job.json"),
      Catalogue::load());
  CHECK(p.model.max_positions == 3000);
}

TEST_CASE("a search fixes plan keys to a value, a list, or anything") {
  const Problem p = load_job(R"(, "search": {"tensor": [8, 1, 8], "context": 1, "pipeline": "any",
      "recompute": ["none", "full"], "schedule": "1f1b", "sequence_parallel": true, "rank_order": "tp-cp-ep-pp-dp",
      "offload": {"optimizer": 0.5}, "overlap": {"tensor": true, "data": true, "pipeline": false}})");
  CHECK(p.search.tensor == std::vector<std::int32_t>{8, 1});
  CHECK(p.search.context == std::vector<std::int32_t>{1});
  CHECK(p.search.pipeline.empty());
  CHECK(p.search.micro_batch.empty());
  CHECK(p.search.recompute == std::vector<Recompute>{Recompute::none, Recompute::full});
  CHECK(p.search.schedule == std::vector<ScheduleKind>{ScheduleKind::one_f_one_b});
  CHECK(p.search.sequence_parallel == std::vector<bool>{true});
  CHECK(p.search.base.rank_order == "tp-cp-ep-pp-dp");
  CHECK(p.search.base.offload.optimizer == 0.5);
  REQUIRE(p.search.overlap.has_value());
  CHECK(*p.search.overlap == Overlap{.tensor = true, .data = true, .pipeline = false});
  CHECK(error_of(R"(, "search": {"overlap": {"tensor": true}})") ==
        "job.json:/search/overlap: key \"data\" is missing");
}

TEST_CASE("a search over uneven stages needs their number") {
  const Problem p = load_job(R"(, "search": {"pipeline": 2, "stage_layers": [15, 17]})");
  CHECK(p.search.base.stage_layers == std::vector<std::int32_t>{15, 17});
  CHECK(p.search.virtual_pipeline == std::vector<std::int32_t>{1});
  CHECK(error_of(R"(, "search": {"stage_layers": [15, 17]})") ==
        "job.json:/search/stage_layers: needs one value of pipeline in the search");
}

TEST_CASE("number formats are refused where the GPU has no arithmetic for them") {
  const Catalogue catalogue = Catalogue::load();
  struct Row {
    const char* gpu;
    const char* precision;
    bool is_supported;
  };
  // V100: fp16 only. A100: bf16, TF32. H100: fp8 too. Blackwell: MX formats and fp4.
  constexpr Row kRows[] = {{"v100-sxm2-32gb", "fp16", true},   {"v100-sxm2-32gb", "bf16", false},
                           {"v100-sxm2-32gb", "fp32", true},   {"a100-sxm4-80gb", "bf16", true},
                           {"a100-sxm4-80gb", "fp8", false},   {"h100-sxm5-80gb", "fp8", true},
                           {"h100-sxm5-80gb", "mxfp8", false}, {"h100-sxm5-80gb", "nvfp4", false},
                           {"b200-sxm-180gb", "mxfp8", true},  {"b200-sxm-180gb", "nvfp4", true}};
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.gpu));
    CAPTURE(std::string(row.precision));
    const std::string text = fmt::format(
        R"({{"model": "llama-3.1-8b", "cluster": {{"gpu": "{}", "gpus": 8}},
            "training": {{"sequence_length": 4096, "global_batch": 64, "precision": "{}"}}}})",
        row.gpu, row.precision);
    bool is_accepted = true;
    try {
      static_cast<void>(load_problem(SpecNode::parse(text, "job.json"), catalogue));
    } catch (const SpecError& error) {
      is_accepted = false;
      CHECK(std::string(error.what()).find("job.json:/training/precision: ") == 0);
    }
    CHECK(is_accepted == row.is_supported);
  }
}

TEST_CASE("every published run loads with the plan that it states") {
  const Catalogue catalogue = Catalogue::load();
  std::int64_t rows = 0;
  for (const auto& entry : std::filesystem::directory_iterator("validate/published/runs")) {
    if (entry.path().extension() != ".json") continue;
    const SpecNode file = SpecNode::read_file(entry.path().string());
    for (const SpecNode& run : file.required("runs").items()) {
      const std::string where = run.where();
      CAPTURE(where);
      const Problem p = load_run(run, catalogue);
      ++rows;
      REQUIRE(p.plan.has_value());
      const SpecNode plan = run.required("plan");
      CHECK(p.plan->tensor == plan.required("tensor").as_int());
      CHECK(p.plan->pipeline == plan.required("pipeline").as_int());
      CHECK(p.plan->data == plan.required("data").as_int());
      CHECK(p.plan->micro_batch == plan.required("micro_batch").as_int());
      CHECK(gpus_used(*p.plan) == p.cluster.gpus);
      CHECK(p.training.global_batch % (p.plan->micro_batch * p.plan->data) == 0);
      const bool has_experts = run.required("model").has("experts");
      CHECK(p.model.not_plannable.empty() == !has_experts);
    }
  }
  CHECK(rows >= 1072);
}

TEST_CASE("published models have the size that their name says") {
  const Catalogue catalogue = Catalogue::load();
  struct Row {
    const char* name;
    double billions;
    double within;  // fraction
  };
  constexpr Row kRows[] = {{"Llama-3 70B", 70.55, 0.001}, {"Llama-3.1 405B", 405.85, 0.001},
                           {"Llama-3 8B", 8.03, 0.001},   {"GPT-3 175B", 175, 0.01},
                           {"MPT-3b", 2.65, 0.02},        {"MPT-1b", 1.3, 0.02},
                           {"MPT-125m", 0.125, 0.02},     {"BLOOM-prequel 182B", 182, 0.02},
                           {"Nemotron-4 15b", 15.6, 0.02}};
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("validate/published/runs")) {
    for (const SpecNode& run : SpecNode::read_file(entry.path().string()).required("runs").items()) {
      const std::string name = run.required("model").required("name").as_string();
      for (const Row& row : kRows) {
        // Tables of 16,384 learned positions and more add a few per cent to the smallest.
        if (name != row.name || run.required("training").required("sequence_length").as_int() > 8192) continue;
        CAPTURE(name);
        const double billions = static_cast<double>(count_parameters(load_run(run, catalogue).model).total) / 1e9;
        CHECK(billions == doctest::Approx(row.billions).epsilon(row.within));
        if (std::find(found.begin(), found.end(), name) == found.end()) found.push_back(name);
      }
    }
  }
  CHECK(found.size() >= 8);
}
