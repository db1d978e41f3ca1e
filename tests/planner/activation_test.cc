// Bytes of activations: the formulas of Korthikanti et al. 2022 (arXiv 2205.05198), tensor by tensor.
#include "planner/activation.h"

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kGpt =
    R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "nodes": 8},
        "training": {"sequence_length": 2048, "global_batch": 64, "precision": "fp16"},
        "software": {"framework": "megatron-core", "attention": "unfused"}})";

ActivationBytes of(const Problem& p, const BlockShape& shape) {
  const FrameworkSpec framework = framework_spec(p.software, p.training.precision);
  return activation_bytes(
      p.model, shape, p.software, p.training.precision, framework,
      memory_traits(p.software, p.training.precision, framework.fused_cross_entropy, p.cluster.gpu.compute_capability));
}
BlockShape shape_of(const Problem& p, std::int64_t tensor, std::int64_t micro_batch) {
  BlockShape shape;
  shape.tensor = tensor;
  shape.micro_batch = micro_batch;
  shape.sequence_length = p.training.sequence_length;
  return shape;
}

}  // namespace

TEST_CASE("a GPT layer keeps s b h (34 + 5 a s / h) bytes") {
  // Equation 1. GPT-3: s 2048, h 12288, a 96; 5 a s = 983,040 = 80 h, so 114 s b h = 2,868,903,936 b.
  const Problem p = job(kGpt);
  for (const std::int64_t b : {1, 2, 4}) CHECK(of(p, shape_of(p, 1, b)).layer == 2'868'903'936 * b);
  CHECK(of(p, shape_of(p, 1, 1)).layer == 2048LL * 12288 * (34 + 80));
}

TEST_CASE("tensor parallelism divides all but 10 s b h of it, sequence parallelism divides that too") {
  const Problem p = job(kGpt);
  const std::int64_t sbh = 2048LL * 12288;
  for (const std::int64_t t : {2, 4, 8}) {
    BlockShape shape = shape_of(p, t, 1);
    CHECK(of(p, shape).layer == sbh * 10 + sbh * (24 + 80) / t);  // equation 2
    shape.sequence_parallel = true;
    CHECK(of(p, shape).layer == sbh * (34 + 80) / t);  // equation 4
  }
}

TEST_CASE("selective recomputation keeps 34 s b h / t, full recomputation the layer's input") {
  const Problem p = job(kGpt);
  const std::int64_t sbh = 2048LL * 12288;
  for (const std::int64_t t : {1, 2, 8}) {
    BlockShape shape = shape_of(p, t, 1);
    shape.sequence_parallel = t > 1;
    shape.recompute = Recompute::selective;
    CHECK(of(p, shape).layer == 34 * sbh / t);  // section 5, equation 5
    shape.recompute = Recompute::full;
    CHECK(of(p, shape).layer == 2 * sbh / t);  // table 2, with the input kept in t parts
    CHECK(of(p, shape).layer_kept == (34 + 80) * sbh / t);
    shape.sequence_parallel = false;
    CHECK(of(p, shape).layer == 2 * sbh);  // table 2
  }
}

TEST_CASE("the same holds for every GPT of the paper's table 3") {
  // 22B, 530B and 1T: heads, hidden, tensor 8, micro-batch 4 / 1 / 1 (table 3).
  struct Row {
    std::int64_t heads, hidden, layers, micro_batch;
  };
  for (const Row& row : {Row{64, 6144, 48, 4}, Row{128, 20480, 105, 1}, Row{160, 25600, 128, 1}}) {
    Problem p = job(kGpt);
    p.model.layers = row.layers;
    p.model.hidden = row.hidden;
    p.model.heads = p.model.kv_heads = row.heads;
    p.model.head_dim = row.hidden / row.heads;
    p.model.ffn_hidden = 4 * row.hidden;
    const std::int64_t sbh = 2048 * row.micro_batch * row.hidden;
    BlockShape shape = shape_of(p, 8, row.micro_batch);
    shape.sequence_parallel = true;
    CHECK(of(p, shape).layer == (34 * sbh + 5 * row.heads * 2048 * 2048 * row.micro_batch) / 8);
  }
}

TEST_CASE("flash attention keeps a number for each row instead of the scores") {
  // Dao et al. 2022 (arXiv 2205.14135) section 3.1: the backward pass needs q, k, v, o and the log of the sum.
  Problem p = job(kGpt);
  const std::int64_t unfused = of(p, shape_of(p, 1, 1)).layer;
  p.software.attention = AttentionKind::flash;
  const std::int64_t scores = 5 * 96LL * 2048 * 2048, masks = 2 * 2048LL * 12288, sums = 4 * 96LL * 2048;
  // Megatron-Core's row drops no dropout masks of its own: the model names no dropout. On an A100 its attention is
  // flash-attn's, whose output [b, s, h] stays beside the copy [s, b, h] that the projection reads.
  const std::int64_t copy = 2 * 2048LL * 12288;
  CHECK(of(p, shape_of(p, 1, 1)).layer == unfused - scores - masks + sums + copy);
}

TEST_CASE("a Llama layer: grouped queries, gated MLP, no dropout") {
  // Llama-3.1-8B, 16 bits, per token: norm inputs and outputs 4 x 2 x 4096; q 2 x 4096, k and v 2 x 2 x 1024;
  // log-sum 4 x 32; attention output 2 x 4096; gate and up 2 x 2 x 14336; their product 2 x 14336.
  const Problem p = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
                            "training": {"sequence_length": 8192, "global_batch": 8}})");
  const std::int64_t a_token = 32768 + 8192 + 4096 + 128 + 8192 + 57344 + 28672;
  CHECK(of(p, shape_of(p, 1, 1)).layer == 8192 * a_token);
  // t = 8 with sequence parallelism: each of 8 ranks has 4 heads, 1 key-value head and 1/8 of the rest.
  BlockShape shape = shape_of(p, 8, 1);
  shape.sequence_parallel = true;
  CHECK(of(p, shape).layer == 1024 * a_token);
  // Context parallelism divides the tokens.
  shape = shape_of(p, 1, 1);
  shape.context = 4;
  CHECK(of(p, shape).layer == 2048 * a_token);
  // Logits in fp32: 128,256 columns, padded to a multiple of 128 (1,002 x 128: none needed).
  CHECK(of(p, shape_of(p, 1, 1)).logits == 8192LL * 128'256 * 4);
}

TEST_CASE("activations grow with the micro-batch in proportion") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem p = job(text);
    const ActivationBytes one = of(p, shape_of(p, 1, 1)), three = of(p, shape_of(p, 1, 3));
    CHECK(three.layer == 3 * one.layer);
    CHECK(three.backward_working <= 3 * one.backward_working);  // the gradient of a weight does not grow
    CHECK(three.backward_working > one.backward_working);
    CHECK(three.embedding == 3 * one.embedding);
    CHECK(three.head == 3 * one.head);
    CHECK(three.logits == 3 * one.logits);
  }
}
