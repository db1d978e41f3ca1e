// What a pass does beside its blocks: gathers of split pipeline messages, sums of gradients over micro-batches.
#include "planner/plan_cost.h"

#include <tuple>

#include <doctest/doctest.h>
#include <fmt/core.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// 16 sequences of 2,048 tokens on 16 GPUs: as many replicas as the plan leaves room for.
Problem gpt(std::string_view precision) {
  return job(fmt::format(
      R"({{"model": {{"layers": 24, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 65536, "gated_mlp": false}},
           "cluster": {{"node": "dgx-a100-80", "nodes": 2}},
           "training": {{"sequence_length": 2048, "global_batch": 16, "precision": "{}"}},
           "software": {{"framework": "megatron-deepspeed", "attention": "unfused"}}}})",
      precision));
}
Plan plan_of(std::int32_t tensor, std::int32_t pipeline, std::int32_t micro_batch) {
  Plan plan;
  plan.tensor = tensor;
  plan.pipeline = pipeline;
  plan.data = 16 / (tensor * pipeline);
  plan.micro_batch = micro_batch;
  plan.overlap = {.tensor = false, .data = false, .pipeline = false};
  return plan;
}
const MemoryKernel& only_kernel(const std::vector<Op>& ops) {
  REQUIRE(ops.size() == 1);
  return std::get<MemoryKernel>(std::get<Kernel>(ops.front().work));
}

}  // namespace

TEST_CASE("DeepSpeed sends activations in parts and gathers them: once forward, with the kept output backward") {
  const Problem problem = gpt("fp16");
  const PlanCosts c = costs_of(problem, plan_of(4, 2, 1));
  constexpr double kActivation = 2048.0 * 2048 * 2;  // s b h in 2 bytes
  CHECK(c.transfer.size.base() == kActivation / 4);
  const auto gathers = [&](const std::vector<Op>& ops) {
    int count = 0;
    for (const Op& op : ops) {
      const auto* call = std::get_if<CollectiveCall>(&op.work);
      if (call == nullptr) continue;
      CHECK(call->op == CollectiveOp::all_gather);
      CHECK(call->group == GroupKind::tensor);
      CHECK(call->size.base() == kActivation);
      ++count;
    }
    return count;
  };
  CHECK(gathers(c.blocks->forward_arrival) == 1);
  CHECK(gathers(c.blocks->backward_arrival) == 2);
  // One tensor rank sends whole messages.
  const PlanCosts whole = costs_of(problem, plan_of(1, 2, 1));
  CHECK(whole.transfer.size.base() == kActivation);
  CHECK(whole.blocks->forward_arrival.empty());
}

TEST_CASE("all micro-batches but the first add their gradients to the sum: 6 bytes a parameter in fp16, 10 in fp32") {
  // 16 sequences over 2 replicas are 8 micro-batches: on average each sums 7/8 of the parameters. fp16 sums are read,
  // added to and written in 2 bytes; BF16_Optimizer adds 2 bytes to 4.
  for (const auto& [precision, read, written] : {std::tuple{"fp16", 4.0, 2.0}, std::tuple{"bf16", 6.0, 4.0}}) {
    const PlanCosts c = costs_of(gpt(precision), plan_of(4, 2, 1));
    REQUIRE(c.micro_batches == 8);
    for (std::size_t k = 0; k < 2; ++k) {
      const MemoryKernel& sum = only_kernel(c.gradient_sums[k]);
      const double parameters = static_cast<double>(c.stages[k].parameters);
      CHECK(sum.read.base() == doctest::Approx(7.0 / 8 * read * parameters));
      CHECK(sum.written.base() == doctest::Approx(7.0 / 8 * written * parameters));
    }
  }
  CHECK(costs_of(gpt("fp16"), plan_of(4, 2, 8)).gradient_sums[0].empty());  // one micro-batch
}
