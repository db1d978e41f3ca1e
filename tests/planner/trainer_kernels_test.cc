// Kernels that a trainer adds to a layer: ring attention's blocks, copies around attention and around FSDP's messages,
// metrics, norms that read twice.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "planner/layer_ops.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

// Hidden 2048 = 16 heads of 128, as many keys and values; ffn 8192.
std::string text(const std::string& node, const std::string& software) {
  return R"({"model": {"layers": 4, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 65536, "gated_mlp": false},
    "cluster": {"node": ")" +
         node + R"(", "nodes": 1}, "training": {"sequence_length": 8192, "global_batch": 8}, "software": )" + software +
         "}";
}
constexpr const char* kMegatron = R"({"framework": "megatron-core"})";
constexpr const char* kMpt = R"({"framework": "fsdp", "version": "Composer + llm-foundry"})";
constexpr const char* kFsdp = R"({"framework": "fsdp"})";

std::vector<Op> ops_of(BlockKind kind, const Problem& p, std::int64_t context = 1) {
  BlockShape shape;
  shape.context = context;
  shape.sequence_length = p.training.sequence_length;
  return block_ops(kind, p.model, shape, p.software, p.training.precision, framework_spec(p));
}

template <typename T>
std::vector<T> kernels(const std::vector<Op>& ops) {
  std::vector<T> found;
  for (const Op& op : ops) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    const T* one = kernel == nullptr ? nullptr : std::get_if<T>(kernel);
    if (one != nullptr) found.push_back(*one);
  }
  return found;
}

double bytes_moved(const std::vector<Op>& ops, MemoryOp op) {
  double sum = 0;
  for (const MemoryKernel& k : kernels<MemoryKernel>(ops))
    if (k.op == op) sum += (k.read + k.written).base();
  return sum;
}

double attention_flops(const std::vector<Op>& ops) {
  double sum = 0;
  for (const Attention& a : kernels<Attention>(ops)) sum += flops_of(Kernel(a)).base();
  return sum;
}

}  // namespace

TEST_CASE("ring attention is one causal block and halves of the others, which together do a rank's share of the work") {
  const Problem p = job(text("dgx-h100", kMegatron));
  for (const BlockKind kind : {BlockKind::layer_forward, BlockKind::layer_backward}) {
    for (const std::int64_t c : {2, 4, 8}) {
      const std::vector<Op> ops = ops_of(kind, p, c);
      const std::vector<Attention> blocks = kernels<Attention>(ops);
      REQUIRE(blocks.size() == static_cast<std::size_t>(c));
      CHECK(blocks.front().causal);
      CHECK(!blocks.back().causal);
      CHECK(attention_flops(ops) == attention_flops(ops_of(kind, p)) / static_cast<double>(c));
    }
  }
  // Joining the results of 2 blocks, forward: 8 + 5.5 bytes an element of the 4096 x 2048 queries, 4 of the keys and
  // values, which are twice as many. The residuals are summed with their biases, by other kernels.
  CHECK(bytes_moved(ops_of(BlockKind::layer_forward, p, 2), MemoryOp::add) ==
        doctest::Approx(4096.0 * 2048 * (8 + 5.5 + 2 * 4)));
}

TEST_CASE("MPT gathers and scatters tokens around attention, on Hopper, where it is not the Triton kernel") {
  const double width = 8192.0 * 2048;
  const Problem hopper = job(text("dgx-h100", kMpt));
  // q, k, v and the output: read and written in 16 bits. Backward also joins the three gradients (3 x 4 bytes).
  CHECK(bytes_moved(ops_of(BlockKind::layer_forward, hopper), MemoryOp::copy) == 4 * width * 4);
  CHECK(bytes_moved(ops_of(BlockKind::layer_backward, hopper), MemoryOp::copy) == 4 * width * 4 + 3 * width * 4);
  CHECK(bytes_moved(ops_of(BlockKind::layer_forward, job(text("dgx-a100-80", kMpt))), MemoryOp::copy) == 0);
  CHECK(bytes_moved(ops_of(BlockKind::layer_forward, job(text("dgx-h100", kFsdp))), MemoryOp::copy) == 0);
}

TEST_CASE("MPT computes two metrics from the logits: 28 bytes each logit more than the fused loss") {
  const double logits = 8192.0 * 65536;
  const double plain =
      bytes_moved(ops_of(BlockKind::head_forward, job(text("dgx-h100", kFsdp))), MemoryOp::cross_entropy);
  const double mpt = bytes_moved(ops_of(BlockKind::head_forward, job(text("dgx-h100", kMpt))), MemoryOp::cross_entropy);
  CHECK(mpt - plain == logits * 28);
}

TEST_CASE("norms of plain modules are slower backward, not forward") {
  const auto vectorised = [](const char* software, BlockKind kind) {
    for (const MemoryKernel& k : kernels<MemoryKernel>(ops_of(kind, job(text("dgx-h100", software)))))
      if (k.op == MemoryOp::layer_norm) return k.vectorised;
    FAIL("no norm");
    return false;
  };
  CHECK(vectorised(kMegatron, BlockKind::layer_backward));
  CHECK(!vectorised(kFsdp, BlockKind::layer_backward));
  CHECK(vectorised(kFsdp, BlockKind::layer_forward));
}

TEST_CASE("FSDP copies what it gathers and reduces: the longer passes are those copies' time") {
  const Problem p = job(text("dgx-h100", kFsdp));
  Plan plan;
  plan.data = 8;
  plan.zero_stage = 3;
  const auto costs = [&](double gather, double reduce) {
    FrameworkSpec f = framework_spec(p);
    f.gather_copy_bytes = gather;
    f.reduce_copy_bytes = reduce;
    return plan_costs(p, plan, std::make_shared<const BlockCosts>(block_costs(p, block_shape(p, plan), f)), f);
  };
  const PlanCosts none = costs(0, 0), gathers = costs(4, 0), both = costs(4, 6);
  // 4 layers of 12 x 2048^2 weights and two norms of 2 x 2048: 4 bytes each are 0.2 GB a layer, at 3.1 TB/s 0.06 ms.
  const double layer = 12.0 * 2048 * 2048 + 4 * 2048;
  const double bandwidth = p.cluster.gpu.memory_bandwidth.base() * p.efficiency.memory.bandwidth;
  const double expected = 4 * (layer * 4 / bandwidth + p.efficiency.memory.fixed.base());
  const auto longer = [](const BlockCost& a, const BlockCost& b) { return to_seconds(a.gpu - b.gpu).base(); };
  CHECK(longer(gathers.forward[0], none.forward[0]) == doctest::Approx(expected).epsilon(0.05));
  CHECK(longer(both.forward[0], gathers.forward[0]) == 0);
  CHECK(longer(both.backward[0], none.backward[0]) > 2 * longer(gathers.backward[0], none.backward[0]));
}
