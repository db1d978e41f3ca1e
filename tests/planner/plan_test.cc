// Plans: defaults of trainers, what is refused, and JSON there and back.
#include "planner/plan.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

Plan read(const std::string& json, FrameworkKind framework = FrameworkKind::megatron_core, std::int64_t gpus = 64,
          const std::string& overlap = "") {
  Software software;
  software.framework = framework;
  software.overlap = overlap;
  return read_plan(SpecNode::parse(json, "plan"), software, gpus);
}

}  // namespace

TEST_CASE("data parallelism follows from the GPUs, whole replicas only") {
  CHECK(read(R"({"tensor": 8, "pipeline": 4})").data == 2);
  CHECK(read("{}").data == 64);
  // GPT-3 175B on 1000 A100: 8 x 16 = 128 GPUs hold one copy, 7 copies fit, 896 GPUs work.
  const Plan gpt3 = read(R"({"tensor": 8, "pipeline": 16})", FrameworkKind::megatron_core, 1000);
  CHECK(gpt3.data == 7);
  CHECK(gpus_used(gpt3) == 896);
  CHECK(read(R"({"tensor": 4, "context": 2, "data": 3})").data == 3);  // 24 of 64 is legal
}

TEST_CASE("sharding defaults are the trainers'") {
  CHECK(read("{}", FrameworkKind::megatron_core).zero_stage == 0);
  CHECK(read("{}", FrameworkKind::deepspeed).zero_stage == 0);
  CHECK(read("{}", FrameworkKind::fsdp).zero_stage == 3);
  CHECK(read("{}", FrameworkKind::torchtitan).zero_stage == 3);
  CHECK(read(R"({"zero_stage": 1})", FrameworkKind::torchtitan).zero_stage == 1);
}

TEST_CASE("the schedule follows from the virtual stages") {
  CHECK(read(R"({"pipeline": 4})").schedule == ScheduleKind::one_f_one_b);
  CHECK(read(R"({"pipeline": 4, "virtual_pipeline": 2})").schedule == ScheduleKind::interleaved);
  CHECK(read(R"({"pipeline": 4, "schedule": "GPipe"})").schedule == ScheduleKind::gpipe);
  const Plan one_stage = read(R"({"virtual_pipeline": 12, "schedule": "interleaved"})");
  CHECK(one_stage.virtual_pipeline == 1);
  CHECK(one_stage.schedule == ScheduleKind::one_f_one_b);
}

TEST_CASE("sequence parallelism needs tensor parallelism and is torchtitan's default") {
  CHECK_FALSE(read(R"({"tensor": 8})").sequence_parallel);
  CHECK(read(R"({"tensor": 8, "sequence_parallel": true})").sequence_parallel);
  CHECK_FALSE(read(R"({"sequence_parallel": true})").sequence_parallel);
  CHECK(read(R"({"tensor": 8})", FrameworkKind::torchtitan).sequence_parallel);
  CHECK_FALSE(read(R"({"tensor": 8, "sequence_parallel": false})", FrameworkKind::torchtitan).sequence_parallel);
}

TEST_CASE("overlap follows from the trainer, then from what a run says, then from the plan") {
  using K = FrameworkKind;
  CHECK(read(R"({"pipeline": 4})").overlap == Overlap{.tensor = false, .data = true, .pipeline = false});
  CHECK(read(R"({"pipeline": 4, "virtual_pipeline": 2})").overlap.pipeline);
  CHECK(read("{}", K::megatron_deepspeed).overlap == Overlap{.tensor = false, .data = false, .pipeline = false});
  CHECK(read("{}", K::fsdp).overlap.data);
  CHECK(read("{}", K::megatron_core, 64, "none").overlap == Overlap{.tensor = false, .data = false, .pipeline = false});
  const std::string all = "grad-reduce/param-gather overlap, tp_comm_overlap, p2p overlap";
  CHECK(read(R"({"tensor": 2})", K::megatron_core, 64, all).overlap.tensor);
  CHECK_FALSE(read("{}", K::megatron_core, 64, all).overlap.tensor);  // nothing to overlap
  CHECK(read(R"({"tensor": 2})", K::torchtitan, 64, "AsyncTP").overlap.tensor);
  const std::string off = "TP and PP communication overlap disabled; dist-optimizer overlap off unless stated";
  CHECK(read(R"({"tensor": 2, "pipeline": 2, "virtual_pipeline": 2})", K::megatron_core, 64, off).overlap ==
        Overlap{.tensor = false, .data = false, .pipeline = false});
  CHECK(read(R"({"overlap": {"data": false}})").overlap.data == false);
  CHECK(read(R"({"tensor": 2, "overlap": {"tensor": true}})").overlap.data);  // keys left out keep the default
}

TEST_CASE("stages get whole layers; a list by stage is split over its virtual stages") {
  const Plan plan = read(R"({"pipeline": 2, "virtual_pipeline": 2, "stage_layers": [4, 6]})");
  // Chunk 0 of stages 0 and 1, then chunk 1: 2, 3, 2, 3.
  CHECK(plan.stage_layers == std::vector<std::int32_t>{2, 3, 2, 3});
  const std::vector<std::int32_t> four = {1, 2, 3, 4};
  CHECK(read(R"({"pipeline": 2, "virtual_pipeline": 2, "stage_layers": [1, 2, 3, 4]})").stage_layers == four);
  CHECK_THROWS_WITH_AS(static_cast<void>(read(R"({"pipeline": 2, "virtual_pipeline": 2, "stage_layers": [3, 6]})")),
                       "plan:/stage_layers: stage 0 has 3 layers, which 2 virtual stages cannot share evenly; give 4 "
                       "entries",
                       SpecError);
}

TEST_CASE("a plan in JSON reads back as the same plan") {
  const std::vector<std::string> plans = {
      "{}",
      R"({"tensor": 8, "pipeline": 4, "virtual_pipeline": 2, "micro_batch": 2, "sequence_parallel": true, "zero_stage": 1,
          "recompute": "full", "recompute_layers": 3, "account_for_embedding": true, "account_for_loss": true})",
      R"({"tensor": 2, "context": 2, "context_kind": "ulysses", "zero_stage": 3, "shard_group": 8, "recompute": "selective",
          "overlap": {"tensor": true, "data": false}, "offload": {"optimizer": 0.25, "activations": 1}})",
      R"({"pipeline": 4, "schedule": "gpipe", "stage_layers": [7, 9, 9, 7], "rank_order": "tp-cp-ep-pp-dp", "expert": 4,
          "expert_tensor": 2})"};
  for (const FrameworkKind framework : {FrameworkKind::megatron_core, FrameworkKind::torchtitan}) {
    for (const std::string& text : plans) {
      CAPTURE(text);
      const Plan plan = read(text, framework);
      CHECK(read(to_json(plan), framework) == plan);
      CHECK(read(to_json(plan), FrameworkKind::generic) == plan);  // every key is there, so no default is used
    }
  }
}

TEST_CASE("a plan's JSON has every key of a plan") {
  const SpecNode json = SpecNode::parse(to_json(Plan{}), "plan");
  for (const std::string_view key : kPlanKeys) CHECK(json.has(key));
  CHECK(json.keys().size() == kPlanKeys.size());
}

TEST_CASE("a plan in one line names what differs from the plain case") {
  CHECK(to_text(read(R"({"tensor": 4, "pipeline": 4, "virtual_pipeline": 5, "sequence_parallel": true, "zero_stage": 1,
                         "recompute": "selective"})")) == "TP4 PP4 VPP5 DP4 mbs1 interleaved SP ZeRO-1 selective");
  CHECK(to_text(read("{}")) == "TP1 PP1 DP64 mbs1");
  CHECK(to_text(
            read(R"({"context": 2, "zero_stage": 3, "shard_group": 8, "recompute": "full", "recompute_layers": 2})")) ==
        "TP1 PP1 DP32 CP2 mbs1 ZeRO-3/8 full(2)");
}
