// Tensor-parallel collectives pipelined with their matrix multiplications.
#include <doctest/doctest.h>

#include "planner/block_cost.h"
#include "planner/layer_ops.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kLlama =
    R"({"model": {"base": "llama-3.1-8b", "vocab": 131072}, "cluster": {"node": "dgx-h100", "nodes": 1},
        "training": {"sequence_length": 8192, "global_batch": 8}})";

struct Totals {
  double flops = 0, collective_bytes = 0;
};
Totals totals(const std::vector<Op>& ops) {
  Totals t;
  for (const Op& op : ops) {
    if (const auto* kernel = std::get_if<Kernel>(&op.work)) t.flops += flops_of(*kernel).base();
    if (const auto* call = std::get_if<CollectiveCall>(&op.work)) t.collective_bytes += call->size.base();
  }
  return t;
}

}  // namespace

TEST_CASE("overlap moves the same bytes and does the same arithmetic, and exposes less") {
  const Problem p = job(kLlama);
  const FrameworkSpec f = framework_spec(p.software, p.training.precision);
  BlockShape plain;
  plain.tensor = 4;
  plain.sequence_parallel = true;
  plain.sequence_length = p.training.sequence_length;
  BlockShape overlapped = plain;
  overlapped.tensor_overlap = true;
  for (const BlockKind kind : {BlockKind::layer_forward, BlockKind::layer_backward}) {
    const bool backward = kind == BlockKind::layer_backward;
    const auto ops = [&](const BlockShape& s) {
      return block_ops(kind, p.model, s, p.software, p.training.precision, f);
    };
    const Totals a = totals(ops(plain)), b = totals(ops(overlapped));
    CHECK(b.flops == doctest::Approx(a.flops));
    CHECK(b.collective_bytes == doctest::Approx(a.collective_bytes));
    const auto cost = [&](const BlockShape& s) { return block_cost(ops(s), s, p, f, backward); };
    const auto exposed = [](const BlockCost& c) {
      return c.by_label[static_cast<std::size_t>(TimeLabel::tensor_exposed)];
    };
    const BlockCost without = cost(plain), with = cost(overlapped);
    // The GEMMs of this layer take several times what its collectives do: nearly all of them is hidden.
    CHECK(exposed(with).count < exposed(without).count / 3);
    CHECK(with.gpu < without.gpu);
    // But compute pays: chunks are smaller, and the collectives hold SMs.
    CHECK(with.by_label[0] > without.by_label[0]);
  }
}
