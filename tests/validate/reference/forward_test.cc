/// What the references give, against numbers worked out by hand and against a second way to them.
#include <cmath>
#include <numbers>

#include <doctest/doctest.h>

#include "tests/validate/reference/random_values.h"
#include "validate/reference/activation.h"
#include "validate/reference/adam.h"
#include "validate/reference/attention.h"
#include "validate/reference/cross_entropy.h"
#include "validate/reference/elementwise.h"
#include "validate/reference/embedding.h"
#include "validate/reference/gemm.h"
#include "validate/reference/norm.h"
#include "validate/reference/rope.h"
#include "validate/reference/softmax.h"

using namespace foretrain::reference;

namespace {

void check_equal(const Values& a, const Values& b, double tolerance = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    CHECK(std::fabs(a[i] - b[i]) <= tolerance * std::fmax(1.0, std::fabs(a[i])));
}

}  // namespace

TEST_CASE("GEMM: a 2x2 by hand, in each layout, adding to what is there") {
  // [[1,2],[3,4]] [[5,6],[7,8]] = [[1*5+2*7, 1*6+2*8], [3*5+4*7, 3*6+4*8]] = [[19,22],[43,50]].
  const Values a = {1, 2, 3, 4}, b = {5, 6, 7, 8}, a_transposed = {1, 3, 2, 4}, b_transposed = {5, 7, 6, 8};
  const auto shape = [](LinearPass pass) { return GemmShape{.pass = pass, .batch = 1, .m = 2, .n = 2, .k = 2}; };
  CHECK(gemm(shape(LinearPass::forward), a, b_transposed) == Values{19, 22, 43, 50});
  CHECK(gemm(shape(LinearPass::input_gradient), a, b) == Values{19, 22, 43, 50});
  CHECK(gemm(shape(LinearPass::weight_gradient), a_transposed, b, Values{1, 1, 1, 1}) == Values{20, 23, 44, 51});
}

TEST_CASE("GEMM: the layouts agree through transposes, batch by batch") {
  const GemmShape forward{.pass = LinearPass::forward, .batch = 2, .m = 3, .n = 4, .k = 5};
  const Values a = random_values(2 * 3 * 5, 1), w = random_values(2 * 4 * 5, 2);
  const Values c = gemm(forward, a, w);
  for (int batch = 0; batch < 2; ++batch) {
    const View one_a = View(a).subspan(batch * 15, 15), one_w = View(w).subspan(batch * 20, 20);
    const Values b = transpose(4, 5, one_w);
    const Values expected(c.begin() + batch * 12, c.begin() + batch * 12 + 12);
    check_equal(gemm({.pass = LinearPass::input_gradient, .m = 3, .n = 4, .k = 5}, one_a, b), expected);
    check_equal(gemm({.pass = LinearPass::weight_gradient, .m = 3, .n = 4, .k = 5}, transpose(3, 5, one_a), b),
                expected);
  }
}

TEST_CASE("Norms: a row of 3 and 4 by hand") {
  // Mean square (9 + 16) / 2 = 12.5; LayerNorm: mean 3.5, variance 0.25, so -1 and 1.
  const Values x = {3, 4}, weight = {2, 10}, bias = {1, 1};
  const NormResult rms = norm({.norm = Norm::rms, .rows = 1, .cols = 2, .epsilon = 0}, x, weight);
  check_equal(rms.y, {2 * 3 / std::sqrt(12.5), 10 * 4 / std::sqrt(12.5)});
  const NormResult layer = norm({.norm = Norm::layer, .rows = 1, .cols = 2, .epsilon = 0}, x, weight, bias);
  check_equal(layer.y, {-1, 11});
  CHECK(layer.mean[0] == 3.5);
  CHECK(layer.inverse_deviation[0] == 2);
}

TEST_CASE("Activations: known points") {
  CHECK(activate(Activation::relu, -3) == 0);
  CHECK(activate(Activation::silu, 0) == 0);
  // silu(ln 3) = ln 3 * 3/4, since exp(-ln 3) = 1/3.
  CHECK(activate(Activation::silu, std::log(3.0)) == doctest::Approx(0.75 * std::log(3.0)).epsilon(1e-14));
  // The tanh form stays within 5e-4 of x Phi(x). Source: Hendrycks and Gimpel 2016.
  for (double x = -4; x <= 4; x += 0.25) {
    CHECK(std::fabs(activate(Activation::gelu, x) - 0.5 * x * std::erfc(-x * std::numbers::sqrt2 / 2)) < 5e-4);
  }
  check_equal(gated(Activation::relu, 2, Values{1, -1, 5, 6, 2, 3, 7, 8}), {5, 0, 14, 24});
}

TEST_CASE("Softmax: rows sum to one, do not change with a shift, and the causal one sees no later column") {
  const SoftmaxShape causal{.rows = 8, .cols = 4, .scale = 0.5, .causal = true, .queries = 4};
  const Values x = random_values(32, 5);
  const Values y = softmax(causal, x);
  const Values shifted = softmax(causal, add(x, Values(32, 100.0)));
  check_equal(y, shifted);
  for (std::size_t r = 0; r < 8; ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < 4; ++c) {
      sum += y[r * 4 + c];
      if (c > r % 4) CHECK(y[r * 4 + c] == 0);
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
  }
  // exp(0) : exp(ln 3) = 1 : 3.
  check_equal(softmax({.rows = 1, .cols = 2}, Values{0, std::log(3.0)}), {0.25, 0.75});
}

TEST_CASE("Attention equals gemm, softmax, gemm; grouped heads equal repeated ones") {
  const AttentionShape mha{.seq_q = 5, .seq_kv = 5, .d_qk = 4, .d_v = 3, .causal = true, .scale = 0.5};
  const Values q = random_values(20, 1), k = random_values(20, 2), v = random_values(15, 3);
  const Values scores = gemm({.pass = LinearPass::forward, .m = 5, .n = 5, .k = 4}, q, k);
  const Values p = softmax({.rows = 5, .cols = 5, .scale = 0.5, .causal = true, .queries = 5}, scores);
  check_equal(attention(mha, q, k, v).out, gemm({.pass = LinearPass::input_gradient, .m = 5, .n = 3, .k = 5}, p, v));

  AttentionShape gqa{.batch = 2, .seq_q = 3, .seq_kv = 3, .heads_q = 4, .heads_kv = 2, .d_qk = 2, .d_v = 2};
  const Values q4 = random_values(2 * 3 * 4 * 2, 4), k2 = random_values(2 * 3 * 2 * 2, 5), v2 = random_values(24, 6);
  const auto repeat_heads = [](const Values& x) {  // [tokens, 2, 2] -> [tokens, 4, 2]
    Values y;
    for (std::size_t row = 0; row < x.size() / 2; ++row) {
      for (int copy = 0; copy < 2; ++copy) y.insert(y.end(), {x[row * 2], x[row * 2 + 1]});
    }
    return y;
  };
  const Values grouped = attention(gqa, q4, k2, v2).out;
  gqa.heads_kv = 4;
  check_equal(grouped, attention(gqa, q4, repeat_heads(k2), repeat_heads(v2)).out);
}

TEST_CASE("Attention over two halves of the keys merges by log-sum-exp into the whole") {
  const AttentionShape whole{.seq_q = 4, .seq_kv = 8, .d_qk = 2, .d_v = 2, .causal = true, .query_offset = 4};
  const Values q = random_values(8, 1), k = random_values(16, 2), v = random_values(16, 3);
  AttentionShape first = whole, second = whole;
  first.seq_kv = second.seq_kv = 4;
  second.query_offset = 0;
  const AttentionResult all = attention(whole, q, k, v);
  const AttentionResult a = attention(first, q, View(k).first(8), View(v).first(8));
  const AttentionResult b = attention(second, q, View(k).last(8), View(v).last(8));
  for (std::size_t i = 0; i < 8; ++i) {
    const double total = all.log_sum_exp[i / 2];
    const double merged =
        a.out[i] * std::exp(a.log_sum_exp[i / 2] - total) + b.out[i] * std::exp(b.log_sum_exp[i / 2] - total);
    CHECK(merged == doctest::Approx(all.out[i]).epsilon(1e-12));
  }
}

TEST_CASE("RoPE keeps lengths and turns the product of two positions by their distance alone") {
  const RopeShape shape{.tokens = 2, .heads = 1, .head_dim = 6, .base = 10000};
  CHECK(rope_angle(shape, 7, 0) == 7);
  const Values x = random_values(12, 1);
  const auto product = [&](std::int64_t a, std::int64_t b) {
    const std::vector<std::int64_t> positions = {a, b};
    const Values y = rope(shape, positions, x);
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) sum += y[i] * y[6 + i];
    return sum;
  };
  CHECK(product(3, 10) == doctest::Approx(product(103, 110)).epsilon(1e-10));
  CHECK(product(3, 10) != doctest::Approx(product(3, 11)).epsilon(1e-3));
  const std::vector<std::int64_t> positions = {5, 6};
  check_equal(rope_backward(shape, positions, rope(shape, positions, x)), x);
}

TEST_CASE("Embedding: two ranks' shares sum to the whole, and repeated tokens add their gradients") {
  const Values table = random_values(12, 1);  // [6, 2]
  const std::vector<std::int64_t> tokens = {5, 0, 5, 2};
  const EmbeddingShape low{.vocabulary = 3, .hidden = 2, .first_token = 0};
  const EmbeddingShape high{.vocabulary = 3, .hidden = 2, .first_token = 3};
  check_equal(embed({.vocabulary = 6, .hidden = 2}, tokens, table),
              add(embed(low, tokens, View(table).first(6)), embed(high, tokens, View(table).last(6))));
  check_equal(embed_backward(high, tokens, Values{1, 2, 3, 4, 10, 20, 7, 8}), {0, 0, 0, 0, 11, 22});
}

TEST_CASE("Cross-entropy: uniform logits cost log V, and shares merge into the whole") {
  const std::vector<std::int64_t> targets = {1, 4};
  const CrossEntropyShape whole{.rows = 2, .vocabulary = 5};
  const CrossEntropyStatistics uniform = cross_entropy_statistics(whole, Values(10, 3.0), targets);
  check_equal(cross_entropy_loss(uniform), {std::log(5.0), std::log(5.0)});

  const Values logits = scale(random_values(10, 3), 20);
  const Values low = {logits[0], logits[1], logits[5], logits[6]};
  const Values high = {logits[2], logits[3], logits[4], logits[7], logits[8], logits[9]};
  const CrossEntropyShape low_shape{.rows = 2, .vocabulary = 2, .first_token = 0};
  const CrossEntropyShape high_shape{.rows = 2, .vocabulary = 3, .first_token = 2};
  const CrossEntropyStatistics all = cross_entropy_statistics(whole, logits, targets);
  const CrossEntropyStatistics merged =
      merge(cross_entropy_statistics(low_shape, low, targets), cross_entropy_statistics(high_shape, high, targets));
  check_equal(cross_entropy_loss(all), cross_entropy_loss(merged));
  const Values dloss = {0.5, 2};
  const Values gradient = cross_entropy_backward(whole, logits, targets, all, dloss);
  const Values share = cross_entropy_backward(high_shape, high, targets, merged, dloss);
  check_equal(share, {gradient[2], gradient[3], gradient[4], gradient[7], gradient[8], gradient[9]});
}

TEST_CASE("Adam's first step moves each weight by the learning rate against its gradient's sign") {
  // m / (1 - b1) = g and v / (1 - b2) = g^2, so the direction is g / (|g| + epsilon) and decay takes lr * 0.1 * w more.
  const AdamStep step{.learning_rate = 0.01, .epsilon = 0, .weight_decay = 0.1, .step = 1, .gradient_scale = 0.5};
  const AdamState state{.weight = {1, -2}, .first_moment = {0, 0}, .second_moment = {0, 0}};
  const AdamState next = adam(step, state, Values{4, -8});
  check_equal(next.weight, {1 - 0.01 - 0.001, -2 + 0.01 + 0.002});
  check_equal(next.first_moment, {0.2, -0.4});
  check_equal(next.second_moment, {0.004, 0.016});
  CHECK(sum_of_squares(Values{3, 4}) == 25);
}
