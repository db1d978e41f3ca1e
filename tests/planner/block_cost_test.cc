// Costs of blocks are joined by two sums and a maximum: that must equal simulating the operations in a row.
#include "planner/block_cost.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <doctest/doctest.h>

#include "hwmodels/kernel_time.h"
#include "hwmodels/sustained_rate.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kJob =
    R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 2},
        "training": {"sequence_length": 4096, "global_batch": 64}})";

/// Random operations: kernels from latency to milliseconds, collectives that block or run beside, joins.
std::vector<Op> random_ops(std::mt19937& random, bool context) {
  const auto below = [&](std::uint32_t n) { return static_cast<std::int64_t>(random() % n); };
  std::vector<Op> ops;
  const std::int64_t count = 1 + below(12);
  for (std::int64_t i = 0; i < count; ++i) {
    Op op;
    const std::int64_t kind = below(10);
    if (kind < 4) {
      op.work = Kernel{memory_kernel(MemoryOp::add, false, 1 + below(4096), 1 + below(8192), DType::bf16)};
    } else if (kind < 7) {
      op.work = Kernel{Gemm{.m = 1 + below(8192), .n = 1 + below(8192), .k = 1 + below(4096)}};
    } else if (kind < 9) {
      const GroupKind group = context && below(2) == 0 ? GroupKind::context : GroupKind::tensor;
      op.work = CollectiveCall{CollectiveOp::all_reduce, static_cast<double>(1 + below(50'000'000)) * bytes, group};
      op.label = group == GroupKind::tensor ? TimeLabel::tensor_exposed : TimeLabel::context_exposed;
      op.beside = below(2) == 0;
    } else {
      op.work = Join{};
    }
    op.joins = !std::holds_alternative<CollectiveCall>(op.work) && (kind == 9 || below(3) == 0);
    ops.push_back(op);
  }
  return ops;
}

void append(std::vector<Op>& all, const std::vector<Op>& block) {
  if (!all.empty()) all.push_back({.work = Join{}, .joins = true});  // a block's collectives end inside it
  all.insert(all.end(), block.begin(), block.end());
}

void check_equal(const BlockCost& a, const BlockCost& b) {
  CHECK(a.gpu.count == b.gpu.count);
  CHECK(a.host.count == b.host.count);
  CHECK(a.alone.count == b.alone.count);
  for (std::size_t i = 0; i < a.by_label.size(); ++i) CHECK(std::abs((a.by_label[i] - b.by_label[i]).count) <= 1);
}

FrameworkSpec with_launch(Seconds launch) {
  FrameworkSpec framework = framework_spec(FrameworkKind::megatron_core);
  framework.forward_launch = launch;
  framework.backward_launch = 2 * launch;
  return framework;
}

}  // namespace

TEST_CASE("blocks joined with + and repeat() cost what their operations cost when simulated in a row") {
  const Problem problem = job(kJob);
  std::mt19937 random(20240229);
  for (const double launch_us : {0.0, 1.0, 20.0, 400.0}) {
    const FrameworkSpec framework = with_launch(launch_us * microseconds);
    for (int round = 0; round < 150; ++round) {
      BlockShape shape;
      shape.tensor = 4;
      shape.context = round % 2 == 0 ? 1 : 2;
      const bool backward = round % 3 == 0;
      const auto cost = [&](const std::vector<Op>& ops) {
        return block_cost(ops, shape, problem, framework, backward);
      };
      const std::vector<Op> a = random_ops(random, shape.context > 1), b = random_ops(random, shape.context > 1);
      std::vector<Op> ab = a;
      append(ab, b);
      check_equal(cost(a) + cost(b), cost(ab));
      std::vector<Op> aaaab;
      for (int i = 0; i < 4; ++i) append(aaaab, a);
      append(aaaab, b);
      check_equal(repeat(cost(a), 4) + cost(b), cost(aaaab));
    }
  }
}

TEST_CASE("repeat() is repeated +, and nothing repeated is nothing") {
  const Problem problem = job(kJob);
  std::mt19937 random(7);
  for (const double launch_us : {0.0, 5.0, 50.0}) {
    const FrameworkSpec framework = with_launch(launch_us * microseconds);
    for (int round = 0; round < 50; ++round) {
      BlockShape shape;
      shape.tensor = 8;
      const BlockCost block = block_cost(random_ops(random, false), shape, problem, framework, false);
      BlockCost sum = block;
      for (std::int64_t times = 1; times <= 9; ++times) {
        check_equal(repeat(block, times), sum);
        sum = sum + block;
      }
      check_equal(repeat(block, 0), BlockCost{});
      check_equal(BlockCost{} + block, block);
      check_equal(block + BlockCost{}, block);
    }
  }
}

TEST_CASE("the labels of a block sum to its time on the GPU; its launches never outlast it beyond their own time") {
  const Problem problem = job(kJob);
  std::mt19937 random(99);
  for (int round = 0; round < 300; ++round) {
    BlockShape shape;
    shape.tensor = 4;
    shape.context = 2;
    const BlockCost c = block_cost(random_ops(random, true), shape, problem,
                                   with_launch(static_cast<double>(round % 60) * microseconds), round % 2 == 0);
    Picoseconds sum;
    for (const Picoseconds part : c.by_label) {
      CHECK(part.count >= 0);
      sum += part;
    }
    CHECK(sum == c.gpu);
    CHECK(c.alone >= c.gpu);
    CHECK(c.alone >= c.host);
    CHECK(c.alone <= c.gpu + c.host);
  }
}

TEST_CASE("a block in numbers: a collective hides behind the kernel beside it, one that blocks does not") {
  const Problem problem = job(kJob);
  const FrameworkSpec framework = with_launch(Seconds{});
  BlockShape shape;
  shape.tensor = 8;
  const Op kernel{.work = Kernel{Gemm{.m = 8192, .n = 8192, .k = 8192}}};
  Op sum{.work = CollectiveCall{CollectiveOp::all_reduce, 1 * MiB, GroupKind::tensor},
         .label = TimeLabel::tensor_exposed};
  const auto time = [&](const Op& op) { return to_picoseconds(op_time(op, shape, problem, framework)).count; };
  const auto gpu = [&](const std::vector<Op>& ops) {
    return block_cost(ops, shape, problem, framework, false).gpu.count;
  };
  CHECK(time(sum) < time(kernel));
  CHECK(gpu({kernel, sum, kernel}) == 2 * time(kernel) + time(sum));
  sum.beside = true;
  // NCCL's 24 of 132 SMs are gone while the sum runs: the kernel beside it loses 24/108 of that time.
  CHECK(gpu({kernel, sum, kernel}) ==
        doctest::Approx(2.0 * static_cast<double>(time(kernel)) + static_cast<double>(time(sum)) * 24.0 / 108)
            .epsilon(1e-9));
  // Beside nothing it is exposed; the block does not end before it.
  CHECK(gpu({kernel, sum}) == time(kernel) + time(sum));
}

TEST_CASE("launches set the pace where kernels are shorter, and CUDA graphs take them away") {
  Problem problem = job(kJob);
  const FrameworkSpec framework = with_launch(100 * microseconds);
  const Op tiny{.work = Kernel{memory_kernel(MemoryOp::add, false, 1, 1024, DType::bf16)}};
  const std::vector<Op> ops(10, tiny);
  const BlockShape shape;
  const Picoseconds each = to_picoseconds(op_time(tiny, shape, problem, framework));
  CHECK(to_seconds(each) < 20 * microseconds);
  const BlockCost launched = block_cost(ops, shape, problem, framework, false);
  CHECK(launched.host == 10 * to_picoseconds(100 * microseconds));
  CHECK(launched.alone == launched.host + each);  // the last kernel follows the last launch
  CHECK(launched.gpu == 10 * each);
  CHECK(block_cost(ops, shape, problem, framework, true).host == 2 * launched.host);
  problem.software.cuda_graphs = true;
  const BlockCost graph = block_cost(ops, shape, problem, framework, false);
  CHECK(graph.host.count == 0);
  CHECK(graph.alone == 10 * each);
}

TEST_CASE("where launches block, each operation takes its launch and its time, and nothing runs ahead") {
  const Problem problem = job(kJob);
  FrameworkSpec framework = with_launch(100 * microseconds);
  const Op tiny{.work = Kernel{memory_kernel(MemoryOp::add, false, 1, 1024, DType::bf16)}};
  const std::vector<Op> ops(10, tiny);
  const BlockShape shape;
  const Picoseconds each = to_picoseconds(op_time(tiny, shape, problem, framework));
  framework.launch_blocking = true;
  const BlockCost blocked = block_cost(ops, shape, problem, framework, false);
  CHECK(blocked.gpu == 10 * (each + to_picoseconds(100 * microseconds)));
  CHECK(blocked.alone == blocked.gpu);
  CHECK(blocked.host.count == 0);
  Software released;
  released.overlap = "CUDA_LAUNCH_BLOCKING=1";
  CHECK(framework_spec(released, Precision::bf16).launch_blocking);
  CHECK(!framework_spec(Software{}, Precision::bf16).launch_blocking);
}

TEST_CASE("full recomputation is one more forward pass, to the picosecond") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    const FrameworkSpec framework = framework_spec(problem.software, problem.training.precision);
    BlockShape shape;
    shape.tensor = problem.model.heads % 2 == 0 ? 2 : 1;
    shape.micro_batch = 2;
    shape.sequence_length = problem.training.sequence_length;
    shape.sequence_parallel = framework.kind == FrameworkKind::megatron_core;
    shape.recompute = Recompute::full;
    const BlockCosts c = block_costs(problem, shape, framework);
    CHECK(c.layer_backward.gpu == c.layer_backward_kept.gpu + c.layer_forward.gpu);
    constexpr auto kRecompute = static_cast<std::size_t>(TimeLabel::recompute);
    CHECK(c.layer_backward.by_label[kRecompute].count > 0);
    CHECK(c.layer_backward_kept.by_label[kRecompute].count == 0);
  }
}
