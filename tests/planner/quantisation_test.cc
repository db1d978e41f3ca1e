// What 8- and 4-bit GEMMs add to a step: casts, transposes, formats of gathers, and what stays in 16 bits.
#include "planner/quantisation.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "hwmodels/kernel_time.h"
#include "planner/layer_ops.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

// Hidden 4096, queries 4096 wide and as many keys and values (no grouping), ffn 8192 gated: qkv 12288, fc1 16384.
std::string job_text(const std::string& node, const std::string& precision, const std::string& software) {
  return R"({"model": {"layers": 4, "hidden": 4096, "ffn_hidden": 8192, "heads": 32, "vocab": 32000, "gated_mlp": true},
    "cluster": {"node": ")" +
         node + R"(", "nodes": 1}, "training": {"sequence_length": 4096, "global_batch": 8, "precision": ")" +
         precision + R"("}, "software": )" + software + "}";
}
constexpr const char* kMegatron = R"({"framework": "megatron-core"})";

std::vector<Op> ops_of(BlockKind kind, const Problem& p, std::int64_t tensor = 1, bool split = false) {
  BlockShape shape;
  shape.tensor = tensor;
  shape.sequence_length = p.training.sequence_length;
  shape.sequence_parallel = split;
  return block_ops(kind, p.model, shape, p.software, p.training.precision, framework_spec(p));
}

double cast_bytes(const std::vector<Op>& ops) {
  double sum = 0;
  for (const Op& op : ops) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    const auto* memory = kernel == nullptr ? nullptr : std::get_if<MemoryKernel>(kernel);
    if (memory != nullptr && memory->op == MemoryOp::cast) sum += (memory->read + memory->written).base();
  }
  return sum;
}

double norm_written(const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    const auto* memory = kernel == nullptr ? nullptr : std::get_if<MemoryKernel>(kernel);
    if (memory != nullptr && memory->op == MemoryOp::layer_norm) return memory->written.base();
    if (memory != nullptr && memory->op == MemoryOp::rms_norm) return memory->written.base();
  }
  return 0;
}

double gathered(const std::vector<Op>& ops) {
  double sum = 0;
  for (const Op& op : ops) {
    const auto* call = std::get_if<CollectiveCall>(&op.work);
    if (call != nullptr && call->op == CollectiveOp::all_gather) sum += call->size.base();
  }
  return sum;
}

}  // namespace

TEST_CASE("16 bits need no operands made") {
  const Problem p = job(job_text("dgx-h100", "bf16", kMegatron));
  CHECK(!framework_spec(p).quantisation.used);
  CHECK(cast_bytes(ops_of(BlockKind::layer_forward, p)) == 0);
  CHECK(cast_bytes(ops_of(BlockKind::layer_backward, p)) == 0);
}

TEST_CASE("delayed scaling on Hopper: inputs and gradients are cast and transposed, norms cast by themselves") {
  const Problem p = job(job_text("dgx-h100", "fp8", kMegatron));
  const double tokens = 4096;
  // Forward: attention's output (4096 wide) and the activation's (8192): read in 16 bits, written twice in 8.
  CHECK(cast_bytes(ops_of(BlockKind::layer_forward, p)) == tokens * (4096 + 8192) * 4);
  CHECK(norm_written(ops_of(BlockKind::layer_forward, p)) == tokens * 4096 * 1);
  // Backward: gradients of fc2 (4096), fc1 (16384), projection (4096), qkv (12288), likewise; and what the two norms
  // wrote, transposed in 8 bits.
  CHECK(cast_bytes(ops_of(BlockKind::layer_backward, p)) ==
        tokens * (4096 + 16384 + 4096 + 12288) * 4 + 2 * tokens * 4096 * 2);
}

TEST_CASE("split sequences are cast before they are gathered, in half the bytes") {
  const Problem wide = job(job_text("dgx-h100", "bf16", kMegatron));
  const Problem narrow = job(job_text("dgx-h100", "fp8", kMegatron));
  for (const BlockKind kind : {BlockKind::layer_forward, BlockKind::layer_backward})
    CHECK(gathered(ops_of(kind, narrow, 4, true)) == gathered(ops_of(kind, wide, 4, true)) / 2);
  // Backward on 4 ranks: this rank's quarter of both row-parallel gradients (4096 wide) is cast; all of them are
  // transposed after the gather; the column-parallel ones are a quarter as wide; and the norms' outputs, whole.
  const double tokens = 4096;
  CHECK(cast_bytes(ops_of(BlockKind::layer_backward, narrow, 4, true)) ==
        2 * (tokens / 4 * 4096 * 3 + tokens * 4096 * 2) + tokens * (16384 / 4 + 12288 / 4) * 4 + 2 * tokens * 4096 * 2);
}

TEST_CASE("Blackwell transposes nothing; current scaling reads twice; MX and NVFP4 write both directions") {
  const double tokens = 4096;
  const std::string bridge = R"({"framework": "megatron-core", "version": "Megatron-Bridge 25.11"})";
  const auto forward = [&](const char* precision, const std::string& software) {
    return cast_bytes(ops_of(BlockKind::layer_forward, job(job_text("dgx-b200", precision, software))));
  };
  const double inputs = tokens * (4096 + 4096 + 4096 + 8192);  // after both norms, of the projection, of fc2
  CHECK(forward("fp8", kMegatron) == tokens * (4096 + 8192) * 3);
  CHECK(forward("fp8", bridge) == inputs * 5);
  CHECK(forward("mxfp8", bridge) == inputs * (2 + 2 * (1 + 1.0 / 32)));
  CHECK(forward("nvfp4", bridge) == inputs * (6 + 2 * (0.5 + 1.0 / 16)));
}

TEST_CASE("the LM head stays in 16 bits") {
  const Problem p = job(job_text("dgx-h100", "fp8", kMegatron));
  for (const BlockKind kind : {BlockKind::head_forward, BlockKind::head_backward}) {
    const std::vector<Op> ops = ops_of(kind, p);
    CHECK(cast_bytes(ops) == 0);
    for (const Op& op : ops) {
      const auto* kernel = std::get_if<Kernel>(&op.work);
      const auto* gemm = kernel == nullptr ? nullptr : std::get_if<Gemm>(kernel);
      if (gemm != nullptr) CHECK(gemm->dtype == DType::bf16);
    }
  }
}

TEST_CASE("gradient GEMMs in fp8 add in fp32 on Hopper, which costs 15 percent; Blackwell does so anyway") {
  const auto ratio = [](const char* gpu_name) {
    const GpuSpec& gpu = test_catalogue().gpu(gpu_name, "test");
    Gemm g{.m = 16384, .n = 16384, .k = 16384, .dtype = DType::fp8};
    const EfficiencySpec& e = test_catalogue().efficiency(gpu);
    const Seconds fast = kernel_time(g, gpu, e).time;
    g.promotes = true;
    return kernel_time(g, gpu, e).time / fast;
  };
  CHECK(ratio("h100-sxm5-80gb") == doctest::Approx(1.15).epsilon(0.001));
  CHECK(ratio("b200-sxm-180gb") == 1);
  for (const Op& op : ops_of(BlockKind::layer_backward, job(job_text("dgx-h100", "fp8", kMegatron)))) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    const auto* gemm = kernel == nullptr ? nullptr : std::get_if<Gemm>(kernel);
    if (gemm != nullptr) CHECK(gemm->promotes);
  }
}

TEST_CASE("row-wise scaling reads along the tokens and rescales results, tensor-wise does not") {
  const std::string plain = R"({"framework": "torchtitan"})";
  const std::string rows = R"({"framework": "torchtitan", "version": "torchao, rowwise"})";
  const auto spec = [&](const std::string& software) {
    return framework_spec(job(job_text("dgx-h100", "fp8", software))).quantisation;
  };
  CHECK(spec(plain).result.read == 0);
  CHECK(spec(plain).sent == 1);
  CHECK(spec(rows).result.read == 2);
  CHECK(spec(rows).sent == 2);
  CHECK(!spec(rows).saved_input.vectorised);
}
