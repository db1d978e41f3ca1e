#include "validate/parallel/reference_model.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

using namespace foretrain::parallel;

namespace {

/// Every parameter's gradient against the slope of the loss by central differences, D(h) = (loss(w + h) - loss(w - h))
/// / 2h, combined so that the error in h^2 cancels: (4 D(h) - D(2h)) / 3. With h = 1e-4 what is left is h^4 / 30 times
/// the fifth derivative, at most 1e-9: a norm divides by the spread of its row, 0.05 or more here, and 0.05^-5 is 3e6.
/// Rounding leaves 1e-16 / h = 1e-12. A wrong term would be of the gradients' size, 1e-3 to 1e-1.
void check_slopes(const SmallModel& model, const DropRule& rule) {
  ReferenceModel reference(model, initial_weights(model, 3));
  reference.compute_gradients(0, 2, rule);
  const ReferenceWeights gradients = reference.gradients();
  constexpr double kStep = 1e-4;
  for (const auto& entry : gradients) {
    for (std::size_t i = 0; i < entry.second.values.size(); i += 7) {
      double& w = reference.weights().at(entry.first).values[i];
      const double middle = w;
      const auto slope = [&](double step) {
        w = middle + step;
        const double above = reference.compute_gradients(0, 2, rule);
        w = middle - step;
        const double below = reference.compute_gradients(0, 2, rule);
        w = middle;
        return (above - below) / (2 * step);
      };
      INFO(entry.first, " [", i, "]");
      CHECK(std::abs(entry.second.values[i] - (4 * slope(kStep) - slope(2 * kStep)) / 3) < 1e-9);
    }
  }
}

SmallModel tiny(Family family) {
  SmallModel model;
  model.family = family;
  model.hidden = 8;
  model.head_dim = 2;
  model.kv_heads = family == Family::llama ? 2 : 4;
  model.ffn_hidden = 12;
  model.vocab = 10;
  model.sequence = 5;
  return model;
}

double keep_two_thirds(const DropElement& e) {
  const std::int64_t number =
      e.position + 2 * e.column + 4 * e.key + 5 * e.layer + e.sequence_number + static_cast<std::int64_t>(e.site);
  return number % 3 == 0 ? 0 : 1.5;
}

}  // namespace

TEST_CASE("the reference's gradients are the slopes of its loss") {
  SUBCASE("GPT") { check_slopes(tiny(Family::gpt), {}); }
  SUBCASE("Llama with grouped heads") { check_slopes(tiny(Family::llama), {}); }
  SUBCASE("tied embeddings") {
    SmallModel model = tiny(Family::gpt);
    model.tied_embeddings = true;
    check_slopes(model, {});
  }
  SUBCASE("dropout") { check_slopes(tiny(Family::gpt), keep_two_thirds); }
  SUBCASE("dropout, Llama") { check_slopes(tiny(Family::llama), keep_two_thirds); }
}

TEST_CASE("a table of zeros gives every token the same chance: loss log(vocab)") {
  const SmallModel model = tiny(Family::llama);
  Weights weights = initial_weights(model, 3);
  for (float& value : weights.at("head/weight")) value = 0;
  CHECK(ReferenceModel(model, weights).compute_gradients(0, 3, {}) == doctest::Approx(std::log(10.0)).epsilon(1e-12));
}

TEST_CASE("attention by hand") {
  // One head of dimension 1. q = (1, 2), k = (0, ln 2), v = (3, 6): the first token sees itself; the second weighs its
  // keys by exp(0) = 1 and exp(2 ln 2) = 4: (3 + 4 * 6) / 5 = 5.4. Dropping its second probability leaves 3 / 5.
  Matrix q(2, 1);
  Matrix k(2, 1);
  Matrix v(2, 1);
  q.values = {1, 2};
  k.values = {0, std::log(2.0)};
  v.values = {3, 6};
  ReferenceAttention options{1, 1, [](std::int64_t, std::int64_t, std::int64_t) { return 1.0; }};
  const Matrix out = reference_attention(options, q, k, v);
  CHECK(out(0, 0) == doctest::Approx(3));
  CHECK(out(1, 0) == doctest::Approx(5.4));
  options.keep = [](std::int64_t, std::int64_t query, std::int64_t key) { return query == 1 && key == 1 ? 0.0 : 1.0; };
  CHECK(reference_attention(options, q, k, v)(1, 0) == doctest::Approx(0.6));
}

TEST_CASE("norm and RoPE by hand") {
  Matrix x(1, 2);
  x.values = {1, 3};
  Matrix weight(1, 2);
  weight.values = {2, 4};
  Matrix bias(1, 2);
  bias.values = {10, 20};
  // Layer: mean 2, deviation 1: (-1, 1) -> (-2 + 10, 4 + 20). RMS: root of (1 + 9) / 2 = 2.236: (2, 12) / 2.236.
  const Matrix layer = reference_norm(x, weight, &bias);
  CHECK(layer(0, 0) == doctest::Approx(8).epsilon(1e-5));
  CHECK(layer(0, 1) == doctest::Approx(24).epsilon(1e-5));
  const Matrix rms = reference_norm(x, weight, nullptr);
  CHECK(rms(0, 1) == doctest::Approx(12 / std::sqrt(5.0)).epsilon(1e-5));
  // A head of 2 turns by its position: (1, 0) at position 1 becomes (cos 1, sin 1).
  Matrix rows(2, 2);
  rows.values = {1, 0, 1, 0};
  const Matrix turned = reference_rotate(rows, 2, 1);
  CHECK(turned(0, 0) == doctest::Approx(1));
  CHECK(turned(1, 0) == doctest::Approx(std::cos(1.0)));
  CHECK(turned(1, 1) == doctest::Approx(std::sin(1.0)));
}

TEST_CASE("the first Adam step is the learning rate against the gradient's sign, less the decay") {
  const SmallModel model = tiny(Family::gpt);
  ReferenceModel reference(model, initial_weights(model, 3));
  const ReferenceWeights before = reference.weights();
  reference.compute_gradients(0, 1, {});
  const AdamOptions options{.learning_rate = 0.5F, .epsilon = 0, .weight_decay = 0.25F};
  reference.update(options, 1);
  for (const std::string name : {"layer 0/up weight", "final norm/bias"}) {
    for (std::size_t i = 0; i < before.at(name).values.size(); ++i) {
      const double w = before.at(name).values[i];
      const double sign = reference.gradients().at(name).values[i] > 0 ? 1 : -1;
      CHECK(reference.weights().at(name).values[i] == doctest::Approx(w - 0.5 * (sign + 0.25 * w)));
    }
  }
}
