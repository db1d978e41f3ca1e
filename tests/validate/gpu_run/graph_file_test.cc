#include "validate/gpu/run/graph_file.h"

#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "planner/work.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

const std::string kStep =
    "foretrain.graph/1\n"
    "key model llama 8b\n"
    "plan {\"tensor\": 2}\n"
    "world 16 2 1 2 4 2 8\n"
    "stage 1 20\n"
    "lane 7 1 host host\n"
    "lane 8 1 compute compute\n"
    "lane 9 -1 communication all_stages\n"
    "static 1 parameters 16060522496\n"
    "work 0 gemm 1 8192 5120 8192 bf16 fp32 1 nt\n"
    "work 1 attention 1 8192 8192 8 1 128 128 1 0 bf16\n"
    "work 2 memory rms_norm 1 8192 4096 201326592 67108864 bf16\n"
    "work 3 message all_reduce 67108864 tensor 0\n"
    "task 10 7 5000000 host -1 -1 -1\n"
    "task 11 8 1500000 compute 0 3 0 10 13\n"
    "task 12 8 900000 compute 0 3 1\n"
    "task 13 9 40000 data_parallel -1 -1 3\n"
    "memory 11 start activations 3221225472\n"
    "memory 12 end activations -3221225472\n"
    "end 4\n";

StepFile parse(const std::string& text) {
  std::istringstream in(text);
  return read_step(in, "step.graph");
}

/// What the reader says of kStep with `from` replaced by `to`.
std::string refusal(const std::string& from, const std::string& to) {
  std::string text = kStep;
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  text.replace(place, from.size(), to);
  try {
    parse(text);
  } catch (const SpecError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("Every record of a graph file is read, and ids become places") {
  const StepFile f = parse(kStep);
  CHECK(f.key("model") == "llama 8b");
  CHECK(f.key("absent").empty());
  CHECK(f.plan == "{\"tensor\": 2}");
  CHECK(f.world.pipeline == 4);
  CHECK(f.world.nvlink_domain == 8);
  REQUIRE(f.stages.size() == 1);
  CHECK(f.stages[0].layers == 20);
  REQUIRE(f.lanes.size() == 3);
  CHECK(f.lanes[2].stage == -1);
  CHECK(f.lanes[2].kind == StepLaneKind::communication);
  CHECK(f.static_memory[0].bytes == 16060522496);
  REQUIRE(f.works.size() == 4);
  const Gemm weight_gradient{
      .m = 8192, .n = 5120, .k = 8192, .output = DType::fp32, .accumulate = true, .layout = GemmLayout::nt};
  CHECK(std::get<Gemm>(f.works[0]) == weight_gradient);
  const Attention attention{.seq_q = 8192, .seq_kv = 8192, .heads_q = 8, .heads_kv = 1};
  CHECK(std::get<Attention>(f.works[1]) == attention);
  const auto& norm = std::get<MemoryKernel>(f.works[2]);
  CHECK(norm.op == MemoryOp::rms_norm);
  CHECK(norm.backward);
  CHECK(norm.read.base() == 201326592);
  CHECK(std::get<Message>(f.works[3]) == Message{CollectiveOp::all_reduce, 67108864, Group::tensor, false});
  REQUIRE(f.tasks.size() == 4);
  CHECK(f.tasks[0].work == -1);
  CHECK(f.tasks[0].predicted_ps == 5000000);
  CHECK(f.labels[static_cast<std::size_t>(f.tasks[3].label)] == "data_parallel");
  // Task 11 waits for 10 and for 13, which comes later: places 0 and 3.
  CHECK(f.tasks[1].last - f.tasks[1].first_dependency == 2);
  CHECK(f.dependencies == std::vector<std::int32_t>{0, 3});
  REQUIRE(f.memory.size() == 2);
  CHECK(f.memory[0].task == 1);
  CHECK(f.memory[1].at_end);
  CHECK(f.memory[1].bytes == -3221225472);
}

TEST_CASE("A file that is cut off anywhere is refused") {
  std::size_t cut = 0;
  for (std::size_t end = 0; end + 1 < kStep.size(); ++end) {
    CHECK_THROWS_AS(parse(kStep.substr(0, end)), SpecError);
    ++cut;
  }
  CHECK(cut > 500);
  CHECK_NOTHROW(parse(kStep.substr(0, kStep.size() - 1)));  // only the last line's end is missing
}

TEST_CASE("What is wrong is named with its line and what was expected") {
  CHECK(refusal("end 4\n", "") == "step.graph:19: expected a last line \"end <task count>\"; the file is truncated");
  CHECK(refusal("end 4\n", "end 5\n") == "step.graph:20: expected 4 tasks, as many as there are; got \"5\"");
  CHECK(refusal("foretrain.graph/1", "foretrain.graph/2") ==
        "step.graph:1: expected \"foretrain.graph/1\" on the first line; got \"foretrain.graph/2\"");
  CHECK(refusal("work 2 memory rms_norm", "work 2 memory rmsnorm") ==
        "step.graph:12: expected a memory operation such as rms_norm or adam; got \"rmsnorm\"");
  CHECK(refusal("bf16 fp32 1 nt", "bf16 fp32 1 tt") ==
        "step.graph:10: expected a layout, one of tn, nn, nt; got \"tt\"");
  CHECK(refusal("gemm 1 8192", "gemm 1 0") == "step.graph:10: expected m, a whole number of at least 1; got \"0\"");
  CHECK(refusal("task 12 8", "task 12 6") == "step.graph:16: expected the id of a lane above; got \"6\"");
  CHECK(refusal("task 12 8 900000 compute 0 3 1", "task 12 8 900000 compute 0 3 4") ==
        "step.graph:16: expected the id of a work above; got \"4\"");
  CHECK(refusal("task 12 8", "task 11 8") == "step.graph:16: expected a task's id that is not taken; got \"11\"");
  CHECK(refusal("0 10 13", "0 10 14") == "step.graph:15: expected the id of a task of this file; got \"14\"");
  CHECK(refusal("memory 12 end", "memory 15 end") ==
        "step.graph:19: expected the id of a task of this file; got \"15\"");
  CHECK(refusal("world 16", "world 32") ==
        "step.graph:4: expected tensor x context x data x pipeline = gpus = 32; got \"16\"");
  CHECK(refusal("stage 1 20", "stage 1 20 3") == "step.graph:5: expected the end of the line; got \"3\"");
  CHECK(refusal("stage 1 20", "segment 1 20").find("step.graph:5: expected key, plan,") == 0);
  CHECK(refusal("900000", "9e5") == "step.graph:16: expected picoseconds, a whole number of at least 0; got \"9e5\"");
  CHECK(refusal("all_reduce 67108864 tensor", "all_reduce 67108864 everyone").find("one of tensor, context") !=
        std::string::npos);
  CHECK(refusal("8 1 128", "8 3 128") == "step.graph:11: expected heads_q to be a multiple of heads_kv");
}

TEST_CASE("Groups have the planner's names, in its order") {
  REQUIRE(kGroupNames.size() == kWorkGroupNames.size());
  for (std::size_t i = 0; i < kGroupNames.size(); ++i) CHECK(kGroupNames[i] == kWorkGroupNames[i]);
  CHECK(static_cast<int>(Group::previous) == static_cast<int>(WorkGroup::previous));
}

TEST_CASE("A work reads as one line") {
  const StepFile f = parse(kStep);
  CHECK(work_text(f.works[0]) == "gemm 8192x5120x8192 bf16>fp32 nt accumulate");
  CHECK(work_text(f.works[1]) == "attention 1x8192 heads 8/1 d128 causal forward bf16");
  CHECK(work_text(f.works[2]) == "rms_norm backward 8192x4096 bf16");
  CHECK(work_text(f.works[3]) == "all_reduce 67108864 bytes tensor");
}
