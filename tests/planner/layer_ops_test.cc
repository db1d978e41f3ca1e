// A transformer's operations: their FLOPs are the model's, their collectives Megatron's.
#include "planner/layer_ops.h"

#include <array>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::array kBlocks = {BlockKind::layer_forward,      BlockKind::layer_backward, BlockKind::embedding_forward,
                                BlockKind::embedding_backward, BlockKind::head_forward,   BlockKind::head_backward};

// A vocabulary that needs no padding on any number of ranks here.
constexpr std::string_view kLlama =
    R"({"model": {"base": "llama-3.1-8b", "vocab": 131072}, "cluster": {"node": "dgx-h100", "nodes": 1},
        "training": {"sequence_length": 4096, "global_batch": 8}})";
constexpr std::string_view kGpt =
    R"({"model": {"layers": 24, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 65536, "gated_mlp": false},
        "cluster": {"node": "dgx-a100-80", "nodes": 1},
        "training": {"sequence_length": 2048, "global_batch": 8},
        "software": {"framework": "megatron-deepspeed", "attention": "unfused"}})";

std::vector<Op> ops_of(BlockKind kind, const Problem& p, const BlockShape& shape) {
  return block_ops(kind, p.model, shape, p.software, p.training.precision,
                   framework_spec(p.software, p.training.precision));
}
BlockShape shape_of(const Problem& p, std::int64_t tensor, std::int64_t micro_batch = 1) {
  BlockShape shape;
  shape.tensor = tensor;
  shape.micro_batch = micro_batch;
  shape.sequence_length = p.training.sequence_length;
  return shape;
}

/// FLOPs of the GEMMs with weights, and of attention (flash kernels, or GEMMs of a batch of heads).
struct Work {
  double weights = 0, attention = 0;
};
Work work_of(const std::vector<Op>& ops) {
  Work w;
  for (const Op& op : ops) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    if (kernel == nullptr) continue;
    const auto* gemm = std::get_if<Gemm>(kernel);
    (gemm != nullptr && gemm->batch == 1 ? w.weights : w.attention) += flops_of(*kernel).base();
  }
  return w;
}

struct Calls {
  std::int64_t count = 0;
  double size = 0;  // bytes
};
Calls calls_of(const std::vector<Op>& ops, CollectiveOp op, GroupKind group = GroupKind::tensor) {
  Calls calls;
  for (const Op& o : ops) {
    const auto* call = std::get_if<CollectiveCall>(&o.work);
    if (call == nullptr || call->op != op || call->group != group) continue;
    ++calls.count;
    calls.size += call->size.base();
  }
  return calls;
}

}  // namespace

TEST_CASE("layers and head together do the model's FLOPs: 2 a weight and token forward, 4 backward") {
  for (const std::string_view text : {kLlama, kGpt}) {
    const Problem p = job(text);
    const double tokens = static_cast<double>(p.training.sequence_length);
    const double weights = static_cast<double>(matmul_parameters_per_token(p.model)),
                 head = static_cast<double>(p.model.vocab * p.model.hidden),
                 layers = static_cast<double>(p.model.layers);
    for (const std::int64_t t : {1, 2, 4, 8}) {
      const double ranks = static_cast<double>(t);
      const BlockShape shape = shape_of(p, t);
      const double forward = work_of(ops_of(BlockKind::layer_forward, p, shape)).weights,
                   backward = work_of(ops_of(BlockKind::layer_backward, p, shape)).weights;
      CHECK(ranks * layers * forward == doctest::Approx(2 * tokens * weights).epsilon(1e-12));
      CHECK(backward == doctest::Approx(2 * forward).epsilon(1e-12));
      CHECK(ranks * work_of(ops_of(BlockKind::head_forward, p, shape)).weights ==
            doctest::Approx(2 * tokens * head).epsilon(1e-12));
      CHECK(ranks * work_of(ops_of(BlockKind::head_backward, p, shape)).weights ==
            doctest::Approx(4 * tokens * head).epsilon(1e-12));
    }
  }
}

TEST_CASE("attention does 4 s s h FLOPs a sequence forward: all of it unfused, half in causal flash kernels") {
  // Scores and values: 2 x 2 s s (heads head_dim). Backward: twice that unfused; 2.5 times in flash kernels, which
  // compute the scores again.
  for (const std::string_view text : {kLlama, kGpt}) {
    const Problem p = job(text);
    const bool flash = p.software.attention == AttentionKind::flash;
    const double s = static_cast<double>(p.training.sequence_length),
                 all = 4 * s * s * static_cast<double>(query_width(p.model)) * (flash ? 0.5 : 1.0);
    for (const std::int64_t t : {1, 8}) {
      const double ranks = static_cast<double>(t);
      CHECK(ranks * work_of(ops_of(BlockKind::layer_forward, p, shape_of(p, t))).attention == doctest::Approx(all));
      CHECK(ranks * work_of(ops_of(BlockKind::layer_backward, p, shape_of(p, t))).attention ==
            doctest::Approx((flash ? 2.5 : 2.0) * all));
    }
  }
}

TEST_CASE("a layer has two all-reduces of the hidden states each way, one for attention, one for the MLP") {
  const Problem p = job(kGpt);
  const BlockShape shape = shape_of(p, 8, 4);
  const double hidden = 4.0 * 2048 * 2048 * 2;
  for (const BlockKind kind : {BlockKind::layer_forward, BlockKind::layer_backward}) {
    const Calls sums = calls_of(ops_of(kind, p, shape), CollectiveOp::all_reduce);
    CHECK(sums.count == 2);
    CHECK(sums.size == 2 * hidden);
    CHECK(calls_of(ops_of(kind, p, shape_of(p, 1)), CollectiveOp::all_reduce).count == 0);
  }
}

TEST_CASE("sequence parallelism turns each all-reduce into a reduce-scatter and an all-gather of the same size") {
  // Korthikanti et al. 2022, section 4.2.2; and one more all-gather of each column-parallel layer's input in the
  // backward pass, since it is kept in parts.
  const Problem p = job(kLlama);
  BlockShape shape = shape_of(p, 8);
  shape.sequence_parallel = true;
  const double hidden = 4096.0 * 4096 * 2;
  const std::vector<Op> forward = ops_of(BlockKind::layer_forward, p, shape),
                        backward = ops_of(BlockKind::layer_backward, p, shape);
  for (const auto& [ops, gathers] : {std::pair(&forward, 2), std::pair(&backward, 4)}) {
    CHECK(calls_of(*ops, CollectiveOp::all_reduce).count == 0);
    CHECK(calls_of(*ops, CollectiveOp::reduce_scatter).size == 2 * hidden);
    CHECK(calls_of(*ops, CollectiveOp::all_gather).size == gathers * hidden);
  }
}

TEST_CASE("tensor overlap splits collectives without losing a byte, and does the same kernels") {
  const Problem p = job(kLlama);
  BlockShape plain = shape_of(p, 4);
  plain.sequence_parallel = true;
  BlockShape overlapped = plain;
  overlapped.tensor_overlap = true;
  for (const BlockKind kind : kBlocks) {
    const std::vector<Op> a = ops_of(kind, p, plain), b = ops_of(kind, p, overlapped);
    for (const CollectiveOp op : {CollectiveOp::all_gather, CollectiveOp::reduce_scatter, CollectiveOp::all_reduce}) {
      CHECK(calls_of(a, op).size == doctest::Approx(calls_of(b, op).size));
    }
    CHECK(work_of(a).weights == work_of(b).weights);
  }
}

TEST_CASE("full recomputation repeats the forward pass before the backward one, and books it") {
  for (const std::string_view text : {kLlama, kGpt}) {
    const Problem p = job(text);
    const BlockShape kept = shape_of(p, 4);
    BlockShape full = kept;
    full.recompute = Recompute::full;
    const std::vector<Op> forward = ops_of(BlockKind::layer_forward, p, kept),
                          backward = ops_of(BlockKind::layer_backward, p, kept),
                          both = ops_of(BlockKind::layer_backward, p, full);
    CHECK(both.size() == forward.size() + backward.size());
    std::size_t booked = 0;
    for (const Op& op : both) booked += op.label == TimeLabel::recompute ? 1 : 0;
    std::size_t kernels = 0;
    for (const Op& op : forward) kernels += std::holds_alternative<Kernel>(op.work) ? 1 : 0;
    CHECK(booked == kernels);
  }
}

TEST_CASE("selective recomputation repeats the attention core of unfused attention, and nothing of flash attention") {
  const auto extra = [](const Problem& p) {
    BlockShape shape = shape_of(p, 4);
    const Work kept = work_of(ops_of(BlockKind::layer_backward, p, shape));
    shape.recompute = Recompute::selective;
    const Work repeated = work_of(ops_of(BlockKind::layer_backward, p, shape));
    CHECK(repeated.weights == kept.weights);
    return repeated.attention - kept.attention;
  };
  const Problem gpt = job(kGpt);
  CHECK(extra(gpt) == work_of(ops_of(BlockKind::layer_forward, gpt, shape_of(gpt, 4))).attention);
  CHECK(extra(job(kLlama)) == 0);
}

TEST_CASE("context parallelism: what ring, all-gather and Ulysses exchange") {
  // Llama-3.1-8B on 4 context ranks: 1,024 tokens a rank, keys and values 2 x 8 heads x 128 x 2 bytes = 4 KiB a token,
  // queries 32 x 128 x 2 = 8 KiB.
  const Problem p = job(kLlama);
  BlockShape shape = shape_of(p, 1);
  shape.context = 4;
  const double kv = 1024 * 4096.0, q = 1024 * 8192.0;
  const auto moved = [&](BlockKind kind, ContextKind context, CollectiveOp op) {
    shape.context_kind = context;
    return calls_of(ops_of(kind, p, shape), op, GroupKind::context).size;
  };
  CHECK(moved(BlockKind::layer_forward, ContextKind::ring, CollectiveOp::send_recv) == 3 * kv);
  CHECK(moved(BlockKind::layer_backward, ContextKind::ring, CollectiveOp::send_recv) == 6 * kv);  // and gradients
  CHECK(moved(BlockKind::layer_forward, ContextKind::all_gather, CollectiveOp::all_gather) == 4 * kv);
  CHECK(moved(BlockKind::layer_backward, ContextKind::all_gather, CollectiveOp::reduce_scatter) == 4 * kv);
  CHECK(moved(BlockKind::layer_forward, ContextKind::ulysses, CollectiveOp::all_to_all) == q + kv + q);
  // The FLOPs are shared out, however the keys travel.
  const double alone = work_of(ops_of(BlockKind::layer_forward, p, shape_of(p, 1))).attention;
  for (const ContextKind kind : {ContextKind::ring, ContextKind::all_gather, ContextKind::ulysses}) {
    shape.context_kind = kind;
    CHECK(4 * work_of(ops_of(BlockKind::layer_forward, p, shape)).attention == doctest::Approx(alone));
  }
}

TEST_CASE("the loss sums three numbers a token over the tensor group") {
  const Problem p = job(kLlama);
  const Calls sums = calls_of(ops_of(BlockKind::head_forward, p, shape_of(p, 8)), CollectiveOp::all_reduce);
  CHECK(sums.count == 3);  // maximum, predicted logit, sum of exponentials, fp32
  CHECK(sums.size == 3 * 4096 * 4);
}

TEST_CASE("the vocabulary is padded to 128 rows a tensor rank") {
  // Megatron-LM --make-vocab-size-divisible-by 128: 50,257 -> 50,304 on one rank, 51,200 on eight (6,400 each).
  CHECK(vocabulary_per_rank(50'257, 1) == 50'304);
  CHECK(vocabulary_per_rank(50'257, 8) == 6'400);
  CHECK(vocabulary_per_rank(128'256, 8) == 16'128);  // 129,024 / 8
}

TEST_CASE("each framework has its row, and launches cost something where Python drives") {
  for (std::size_t i = 0; i < kFrameworkNames.size(); ++i) {
    const FrameworkSpec& row = framework_spec(static_cast<FrameworkKind>(i));
    CHECK(row.kind == static_cast<FrameworkKind>(i));
    CHECK(row.name == kFrameworkNames[i]);
    CHECK(row.forward_launch > Seconds{});
    CHECK(row.step_overhead > Seconds{});
  }
}

TEST_CASE("a row-parallel weight gradient accumulates in fp32 where the framework fuses it") {
  Problem p = job(kLlama);
  const auto fp32_gemms = [&] {
    std::int64_t count = 0;
    for (const Op& op : ops_of(BlockKind::layer_backward, p, shape_of(p, 1))) {
      const auto* kernel = std::get_if<Kernel>(&op.work);
      const auto* gemm = kernel == nullptr ? nullptr : std::get_if<Gemm>(kernel);
      if (gemm != nullptr && gemm->accumulate) {
        CHECK(gemm->output == DType::fp32);
        CHECK(gemm->layout == GemmLayout::nt);
        ++count;
      }
    }
    return count;
  };
  CHECK(fp32_gemms() == 4);  // qkv, attention output, the MLP's first (gate and up together) and second
  p.software.framework = FrameworkKind::torchtitan;
  CHECK(fp32_gemms() == 0);
}

TEST_CASE("Megatron's unfused layer: one copy forward, three backward, and a kernel for every bias") {
  // transformer.py (2020-23) reads queries, keys and values in place and copies the context once; backward it joins
  // their three gradients. Biases of QKV, attention output and both halves of the MLP are summed over tokens.
  const Problem p = job(kGpt);
  const auto count = [&](BlockKind kind, MemoryOp op) {
    std::int64_t found = 0;
    for (const Op& o : ops_of(kind, p, shape_of(p, 4))) {
      const auto* kernel = std::get_if<Kernel>(&o.work);
      const auto* memory = kernel == nullptr ? nullptr : std::get_if<MemoryKernel>(kernel);
      found += memory != nullptr && memory->op == op ? 1 : 0;
    }
    return found;
  };
  CHECK(count(BlockKind::layer_forward, MemoryOp::transpose) == 1);
  CHECK(count(BlockKind::layer_backward, MemoryOp::transpose) == 3);
  CHECK(count(BlockKind::layer_forward, MemoryOp::scale) == 1);  // QKV's bias; the others are fused
  CHECK(count(BlockKind::layer_backward, MemoryOp::grad_norm) == 4);
}
