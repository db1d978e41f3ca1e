#include "validate/run_rows.h"

#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "validate/flop_convention.h"

using namespace foretrain;

namespace {

const std::string kModel =
    R"({"name": "GPT", "layers": 4, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "kv_heads": 16, "head_dim": 64,
        "vocab": 50304, "gated_mlp": false, "tied_embeddings": true})";
const std::string kCluster = R"({"gpu": "a100-sxm4-80gb", "gpus": 4, "gpus_per_node": 4})";
const std::string kTraining = R"({"sequence_length": 2048, "global_batch": 8, "precision": "bf16"})";
const std::string kPlan = R"({"tensor": 1, "pipeline": 1, "data": 4, "micro_batch": 1, "recompute": "full"})";
const std::string kSoftware = R"({"framework": "megatron-core", "attention": "flash"})";

/// A file of one run whose parts can be replaced.
struct Parts {
  std::string model = kModel, cluster = kCluster, training = kTraining, plan = kPlan, software = kSoftware;
  std::string measured = R"({"step_seconds": 1.5})";
  std::string more = R"("source": {"name": "somewhere"}, "grade": "A")";
};

std::vector<RunRow> read(const Parts& p) {
  const std::string text = R"({"schema": "foretrain.runs/1", "runs": [{"id": "a", )" + p.more + R"(, "model": )" +
                           p.model + R"(, "cluster": )" + p.cluster + R"(, "training": )" + p.training +
                           R"(, "plan": )" + p.plan + R"(, "software": )" + p.software + R"(, "measured": )" +
                           p.measured + "}]}";
  return read_run_rows(SpecNode::parse(text, "runs.json"), Catalogue::load());
}

std::string error_of_reading(const Parts& parts) {
  try {
    read(parts);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a measured step is taken as it stands") {
  const RunRow row = read({}).front();
  CHECK(row.id == "a");
  CHECK(row.source == "somewhere");
  CHECK(row.refusal.empty());
  REQUIRE(row.step);
  CHECK(row.step->base() == 1.5);
  CHECK_FALSE(row.peak_memory);
}

TEST_CASE("tokens a second and GPU become seconds: 8 x 2048 tokens at 4 x 1000 a second take 4.096 s") {
  Parts parts;
  parts.measured = R"({"tokens_per_second_per_gpu": 1000})";
  CHECK(read(parts).front().step->base() == doctest::Approx(4.096).epsilon(1e-12));
}

TEST_CASE("model and hardware TFLOP/s become seconds by the source's own count") {
  Parts parts;
  parts.measured = R"({"model_tflops_per_gpu": 100})";
  const RunRow model = read(parts).front();
  // All attention scores: 6 x tokens x (4 x 12 x 1024^2 + 50304 x 1024) + 12 x 4 x 16 x 64 x 2048 x tokens FLOPs on 4
  // GPUs.
  const double tokens = 8 * 2048.0;
  const double all = 6 * tokens * (4 * 12 * 1024.0 * 1024 + 50304 * 1024.0) + 12 * 4 * 1024.0 * 2048 * tokens;
  CHECK(model.step->base() == doctest::Approx(all / 4e14).epsilon(1e-12));
  parts.measured = R"({"hardware_tflops_per_gpu": 100})";
  // Full recomputation: a fourth pass over all but the LM head.
  const double hardware = all * 4 / 3 - 2 * tokens * 50304 * 1024.0;
  CHECK(read(parts).front().step->base() == doctest::Approx(hardware / 4e14).epsilon(1e-12));
}

TEST_CASE("what is not modelled is refused with its reason, and the file is read on") {
  Parts parts;
  parts.cluster = R"({"gpu": "tpu-v5p", "gpus": 4, "gpus_per_node": 4})";
  CHECK(read(parts).front().refusal == "GPU \"tpu-v5p\" is not in the catalogue");
  parts = {};
  parts.software = R"({"framework": "colossal-ai"})";
  CHECK(read(parts).front().refusal == "framework \"colossal-ai\" is not modelled");
  parts = {};
  parts.training = R"({"sequence_length": 2048, "global_batch": 8, "precision": "fp8"})";
  CHECK(read(parts).front().refusal == "precision: a100-sxm4-80gb has no fp8");
  parts = {};
  parts.plan = R"({"tensor": 1, "pipeline": 1, "data": 4, "micro_batch": 1, "schedule": "zb-h1"})";
  CHECK(read(parts).front().refusal == "schedule \"zb-h1\" is not modelled");
}

TEST_CASE("126 layers on 32 virtual stages: embedding and loss count as layers, where the plan does not deal them") {
  Parts parts;
  parts.model = R"({"name": "GPT", "layers": 126, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "kv_heads": 16,
                    "head_dim": 64, "vocab": 50304, "gated_mlp": false, "tied_embeddings": false})";
  parts.plan =
      R"({"tensor": 1, "pipeline": 4, "data": 1, "micro_batch": 1, "virtual_pipeline": 8, "schedule": "interleaved"})";
  CHECK(read(parts).front().problem->plan->account_for_embedding);
  CHECK(read(parts).front().problem->plan->account_for_loss);
  parts.plan = R"({"tensor": 1, "pipeline": 2, "data": 2, "micro_batch": 1})";
  CHECK_FALSE(read(parts).front().problem->plan->account_for_embedding);
}

TEST_CASE("what is malformed is an error that names the row and the key") {
  Parts parts;
  parts.measured = R"({"step_secnds": 1})";
  CHECK(error_of_reading(parts) ==
        "runs.json:/runs/0/measured: unknown key \"step_secnds\"; did you mean step_seconds?");
  parts.measured = "{}";
  CHECK(error_of_reading(parts) ==
        "runs.json:/runs/0/measured: expected one of step_seconds, tokens_per_second_per_gpu, model_tflops_per_gpu, "
        "hardware_tflops_per_gpu, peak_memory_bytes");
  parts.measured = R"({"step_seconds": 0})";
  CHECK(error_of_reading(parts).substr(0, 40) == "runs.json:/runs/0/measured/step_seconds:");
  parts.measured = R"({"peak_memory_bytes": -1})";
  CHECK(error_of_reading(parts).substr(0, 45) == "runs.json:/runs/0/measured/peak_memory_bytes:");
}

TEST_CASE("a run that went out of memory needs no measurement") {
  Parts parts;
  parts.measured = "{}";
  parts.more = R"("grade": "OOM")";
  const RunRow row = read(parts).front();
  CHECK(row.ran_out_of_memory);
  CHECK_FALSE(row.step);
  CHECK(row.source == "runs.json");
}

TEST_CASE("the words of peak_memory_kind say which bytes and which stage") {
  using Counts = MemoryMeasure::Counts;
  using Where = MemoryMeasure::Where;
  const auto is = [](const std::string& kind, Counts counts, Where where) {
    const MemoryMeasure measure = memory_measure(kind);
    return measure.counts == counts && measure.where == where;
  };
  CHECK(is("", Counts::device, Where::any_stage));
  CHECK(is("torch max allocated on the LAST rank (last pipeline stage)", Counts::allocated, Where::last_stage));
  CHECK(is("torch max_memory_allocated, max over ranks", Counts::allocated, Where::any_stage));
  CHECK(is("torch max reserved memory (max over ranks)", Counts::reserved, Where::any_stage));
  CHECK(is("torch max_memory (GB as written; allocated or reserved not stated)", Counts::reserved, Where::any_stage));
  CHECK(is("nvidia-smi style max on first/last (embedding) nodes, GB as written", Counts::device,
           Where::first_or_last_stage));
}

TEST_CASE("nanotron deals blocks by cost: a head of 2.2 layers leaves 9, 9, 8 and 6 of 32 layers") {
  // A layer multiplies with 4 x 4096^2 + 3 x 4096 x 14336 = 243,269,632 weights, the head with 131,072 x 4,096 =
  // 536,870,912: 2.207 layers. 34.207 / 4 = 8.55 a stage: the 9th layer is the first past 8.55, the 18th past 17.10,
  // the 26th past 25.66.
  Parts parts;
  parts.model =
      R"({"layers": 32, "hidden": 4096, "ffn_hidden": 14336, "heads": 32, "vocab": 131072, "gated_mlp": true})";
  parts.plan = R"({"tensor": 1, "pipeline": 4, "data": 1, "micro_batch": 1, "schedule": "1f1b"})";
  parts.software = R"({"framework": "nanotron"})";
  CHECK(read(parts).front().problem->plan->stage_layers == std::vector<std::int32_t>{9, 9, 8, 6});
  parts.plan = R"({"tensor": 1, "pipeline": 4, "data": 1, "micro_batch": 1, "stage_layers": [8, 8, 8, 8]})";
  CHECK(read(parts).front().problem->plan->stage_layers == std::vector<std::int32_t>{8, 8, 8, 8});
}

TEST_CASE("a plan's note says how many layers full recomputation repeats") {
  Parts parts;
  parts.plan = R"({"tensor": 1, "pipeline": 1, "micro_batch": 1, "recompute": "full"})";
  CHECK(read(parts).front().problem->plan->recompute_layers == 0);
  parts.more = R"("plan_note": "full recompute of 5 of 32 layers (recompute_num_layers=5) in FSDP recipe")";
  CHECK(read(parts).front().problem->plan->recompute_layers == 5);
  parts.plan = R"({"tensor": 1, "pipeline": 1, "micro_batch": 1, "recompute": "selective"})";
  CHECK(read(parts).front().problem->plan->recompute_layers == 0);
}

TEST_CASE("notes complete a row: deterministic mode, all-to-all context, torchtitan's number of micro-batches") {
  Parts parts;
  parts.more = R"("notes": "Deterministic mode (slower kernels). CP all-to-all.")";
  const Problem noted = *read(parts).front().problem;
  CHECK(noted.software.version.find("deterministic mode") != std::string::npos);
  CHECK(noted.plan->context_kind == ContextKind::ulysses);
  CHECK(read({}).front().problem->plan->context_kind == ContextKind::ring);
  // 8 sequences over 1 x 4 stages: two a micro-batch, so that there are four.
  parts.more = R"("notes": "microbatch size assumed 1 (torchtitan default pipeline microbatching) - VERIFY")";
  parts.plan = R"({"tensor": 1, "pipeline": 4, "data": 1, "micro_batch": 1, "schedule": "1f1b"})";
  parts.software = R"({"framework": "torchtitan"})";
  CHECK(read(parts).front().problem->plan->micro_batch == 2);
  parts.software = R"({"framework": "megatron-core"})";
  CHECK(read(parts).front().problem->plan->micro_batch == 1);
}
