/// Every backward reference against central differences of its forward one.
#include <cmath>
#include <functional>
#include <utility>

#include <doctest/doctest.h>

#include "tests/validate/reference/random_values.h"
#include "validate/reference/activation.h"
#include "validate/reference/attention.h"
#include "validate/reference/cross_entropy.h"
#include "validate/reference/dropout.h"
#include "validate/reference/elementwise.h"
#include "validate/reference/embedding.h"
#include "validate/reference/gemm.h"
#include "validate/reference/norm.h"
#include "validate/reference/rope.h"
#include "validate/reference/softmax.h"

using namespace foretrain;
using namespace foretrain::reference;

namespace {

double product(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// `gradient` of sum(dy * forward(x)) by x, element by element. The central difference at h errs by h^2 f''' / 6 =
/// 2e-11 f''' and by the rounding of the sum over 2 h, 1e-16 / 2e-5 = 5e-12 times it: 1e-8 leaves room for both.
void check_gradient(const Values& gradient, const Values& x, const Values& dy,
                    const std::function<Values(const Values&)>& forward) {
  constexpr double kStep = 1e-5;
  REQUIRE(gradient.size() == x.size());
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Values up = x, down = x;
    up[i] += kStep;
    down[i] -= kStep;
    const double slope = (product(dy, forward(up)) - product(dy, forward(down))) / (2 * kStep);
    CHECK(std::fabs(gradient[i] - slope) <= 1e-8 * std::fmax(1.0, std::fabs(slope)));
    largest = std::fmax(largest, std::fabs(slope));
  }
  CHECK(largest > 1e-3);  // or the test says nothing
}

}  // namespace

TEST_CASE("A linear layer's gradients are its other two GEMM layouts") {
  const Values x = random_values(3 * 5, 1), w = random_values(4 * 5, 2), dy = random_values(3 * 4, 3);
  const auto y = [](const Values& a, const Values& b) {
    return gemm({.pass = LinearPass::forward, .m = 3, .n = 4, .k = 5}, a, b);
  };
  check_gradient(gemm({.pass = LinearPass::input_gradient, .m = 3, .n = 5, .k = 4}, dy, w), x, dy,
                 [&](const Values& v) { return y(v, w); });
  check_gradient(gemm({.pass = LinearPass::weight_gradient, .m = 4, .n = 5, .k = 3}, dy, x), w, dy,
                 [&](const Values& v) { return y(x, v); });
}

TEST_CASE("Attention: dq, dk, dv with grouped heads, causal and not, and with keys before the queries") {
  for (const auto& [causal, offset] : {std::pair{true, 0}, {false, 0}, {true, 2}}) {
    const AttentionShape shape{.batch = 2,
                               .seq_q = 3,
                               .seq_kv = 5,
                               .heads_q = 4,
                               .heads_kv = 2,
                               .d_qk = 3,
                               .d_v = 2,
                               .causal = causal,
                               .query_offset = offset,
                               .scale = 0.7};
    const Values q = random_values(2 * 3 * 4 * 3, 1), k = random_values(2 * 5 * 2 * 3, 2);
    const Values v = random_values(2 * 5 * 2 * 2, 3), dout = random_values(2 * 3 * 4 * 2, 4);
    const AttentionGradient g = attention_backward(shape, q, k, v, attention(shape, q, k, v), dout);
    check_gradient(g.dq, q, dout, [&](const Values& a) { return attention(shape, a, k, v).out; });
    check_gradient(g.dk, k, dout, [&](const Values& a) { return attention(shape, q, a, v).out; });
    check_gradient(g.dv, v, dout, [&](const Values& a) { return attention(shape, q, k, a).out; });
  }
}

TEST_CASE("Norms: dx, dweight and dbias") {
  const Values x = random_values(3 * 7, 1), weight = random_values(7, 2), bias = random_values(7, 3);
  const Values dy = random_values(3 * 7, 4);
  for (const Norm kind : {Norm::rms, Norm::layer}) {
    const NormShape shape{.norm = kind, .rows = 3, .cols = 7, .epsilon = 1e-3};
    const NormGradient g = norm_backward(shape, x, weight, norm(shape, x, weight, bias), dy);
    check_gradient(g.dx, x, dy, [&](const Values& a) { return norm(shape, a, weight, bias).y; });
    check_gradient(g.dweight, weight, dy, [&](const Values& a) { return norm(shape, x, a, bias).y; });
    check_gradient(g.dbias, bias, dy, [&](const Values& a) { return norm(shape, x, weight, a).y; });
  }
}

TEST_CASE("Activations: dx, the bias's gradient as column sums, and both halves of the gated ones") {
  const Values x = scale(random_values(4 * 6, 1), 3), bias = random_values(6, 2), dy = random_values(4 * 6, 3);
  const Values half_dy = random_values(4 * 3, 4);
  for (const Activation kind : {Activation::relu, Activation::gelu, Activation::silu}) {
    const Values dx = activate_backward(kind, x, dy, bias);
    check_gradient(dx, x, dy, [&](const Values& a) { return activate(kind, a, bias); });
    check_gradient(column_sums(6, dx), bias, dy, [&](const Values& a) { return activate(kind, x, a); });
    check_gradient(gated_backward(kind, 3, x, half_dy), x, half_dy, [&](const Values& a) { return gated(kind, 3, a); });
  }
}

TEST_CASE("Softmax: dx, plain and causal") {
  const Values x = scale(random_values(6 * 5, 1), 2), dy = random_values(6 * 5, 2);
  for (const bool causal : {false, true}) {
    const SoftmaxShape shape{.rows = 6, .cols = 5, .scale = 1.5, .causal = causal, .queries = 3};
    check_gradient(softmax_backward(shape, softmax(shape, x), dy), x, dy,
                   [&](const Values& a) { return softmax(shape, a); });
  }
}

TEST_CASE("Dropout's backward pass is dropout of dy with the same mask, and so is bias-dropout-add's") {
  const Dropout dropout{.probability = 0.4, .stream = {.seed = 3, .offset = 8}};
  const Values x = random_values(4 * 5, 1), bias = random_values(5, 2), residual = random_values(20, 3);
  const Values dy = random_values(20, 4), dx = drop(dropout, dy);
  check_gradient(dx, x, dy, [&](const Values& a) { return bias_dropout_add(dropout, a, bias, residual); });
  check_gradient(column_sums(5, dx), bias, dy,
                 [&](const Values& a) { return bias_dropout_add(dropout, x, a, residual); });
}

TEST_CASE("RoPE and embedding") {
  const RopeShape shape{.tokens = 3, .heads = 2, .head_dim = 4, .base = 100};
  const std::vector<std::int64_t> positions = {0, 5, 9};
  const Values x = random_values(24, 1), dy = random_values(24, 2);
  check_gradient(rope_backward(shape, positions, dy), x, dy,
                 [&](const Values& a) { return rope(shape, positions, a); });
  const EmbeddingShape table_shape{.vocabulary = 4, .hidden = 3, .first_token = 2};
  const std::vector<std::int64_t> tokens = {1, 2, 5, 2};
  const Values table = random_values(12, 3), dout = random_values(12, 4);
  check_gradient(embed_backward(table_shape, tokens, dout), table, dout,
                 [&](const Values& a) { return embed(table_shape, tokens, a); });
}

TEST_CASE("Cross-entropy: the gradient of the logits") {
  const CrossEntropyShape shape{.rows = 3, .vocabulary = 5, .first_token = 0};
  const std::vector<std::int64_t> targets = {0, 4, 2};
  const Values logits = scale(random_values(15, 1), 4), dloss = random_values(3, 2);
  const auto statistics = [&](const Values& a) { return cross_entropy_statistics(shape, a, targets); };
  check_gradient(cross_entropy_backward(shape, logits, targets, statistics(logits), dloss), logits, dloss,
                 [&](const Values& a) { return cross_entropy_loss(statistics(a)); });
}
