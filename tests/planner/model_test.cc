// Parameter counts and FLOPs of models in our own keys and by name.
#include "planner/model.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "planner/model_catalogue.h"
#include "planner/problem.h"

using namespace foretrain;

namespace {

ModelSpec by_name(const std::string& name) { return load_model(SpecNode::parse("\"" + name + "\"", "job.json"), ""); }
ModelSpec from_text(const std::string& json) { return load_model(SpecNode::parse(json, "model.json"), ""); }
double total_of(const std::string& name) { return static_cast<double>(count_parameters(by_name(name)).total); }

}  // namespace

TEST_CASE("every model of the catalogue has exactly its published number of parameters") {
  int published = 0;
  for (const NamedModel& named : model_catalogue()) {
    CAPTURE(named.name);
    const ModelSpec model = by_name(named.name);
    CHECK(model.name == named.name);
    CHECK_FALSE(named.source.empty());
    for (const std::string& alias : named.aliases) CHECK(by_name(alias).name == named.name);
    if (named.parameters == 0) continue;
    CHECK(count_parameters(model).total == named.parameters);
    ++published;
  }
  CHECK(published > 60);
}

TEST_CASE("the parts of a parameter count sum to its total") {
  for (const NamedModel& named : model_catalogue()) {
    const ParameterCount c = count_parameters(by_name(named.name));
    CHECK(c.embedding + c.layers_total + c.final_norm + c.lm_head + c.extra == c.total);
    CHECK(c.active <= c.total);
  }
}

TEST_CASE("GPT-3 175B has the parameters of its paper") {
  // 96 layers of 12 h^2 + 13 h (h = 12288), embedding (50257 + 2048) h, last norm 2h.
  const double h = 12288;
  CHECK(total_of("gpt3-175b") == 96 * (12 * h * h + 13 * h) + (50257 + 2048) * h + 2 * h);
  CHECK(total_of("gpt3-175b") == doctest::Approx(175e9).epsilon(0.003));
}

TEST_CASE("Megatron's GPT models have the sizes of SC21 table 1") {
  // P = 12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h)), equation 2 there; ours adds the last norm's 2 h.
  struct Row {
    const char* name;
    double layers, hidden, billions;
  };
  constexpr Row kRows[] = {{"1.7b", 24, 2304, 1.7},      {"3.6b", 30, 3072, 3.6},      {"7.5b", 36, 4096, 7.5},
                           {"18.4b", 40, 6144, 18.4},    {"39.1b", 48, 8192, 39.1},    {"76.1b", 60, 10240, 76.1},
                           {"145.6b", 80, 12288, 145.6}, {"310.1b", 96, 16384, 310.1}, {"529.6b", 105, 20480, 529.6},
                           {"1t", 128, 25600, 1008.0}};
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.name));
    const double total = total_of(std::string("megatron-gpt-") + row.name);
    const double paper = 12 * row.layers * row.hidden * row.hidden *
                         (1 + 13 / (12 * row.hidden) + (51200.0 + 2048) / (12 * row.layers * row.hidden));
    CHECK(total - 2 * row.hidden == doctest::Approx(paper).epsilon(1e-12));
    CHECK(std::abs(total / 1e9 - row.billions) < 0.0501);
  }
}

TEST_CASE("a GPT's FLOPs with recomputation are SC21's equation 3") {
  // F = 96 B s l h^2 (1 + s / (6 h) + V / (16 l h)): four passes over the layers (forward, again, twice that backward)
  // and three over the LM head, attention not halved.
  const ModelSpec gpt = by_name("megatron-gpt-145.6b");
  const double tokens = 2048.0 * 2048;
  const double s = 2048, l = 80, h = 12288, v = 51200;
  const Flops model = model_flops(gpt, tokens, 2048, /*causal=*/false);
  const Flops logits = 6 * v * h * tokens * flops;
  const Flops paper = 96 * tokens * l * h * h * (1 + s / (6 * h) + v / (16 * l * h)) * flops;
  CHECK(4.0 / 3 * (model - logits) / flops + logits / flops == doctest::Approx(paper / flops).epsilon(1e-12));
}

TEST_CASE("Llama's FLOPs are Megatron-LM's with causal attention") {
  // megatron/training/training.py, num_floating_point_operations, with grouped queries and SwiGLU: 12 B s l h^2 times
  // ((1 + g/n + s/h/2) query/h + (ffn/h) 3/2 + V / (2 l h)); g groups, n heads, query = n x head_dim. By hand for 70B:
  // (1 + 1/8 + 0.5) + 5.25 + 128256 / (2 x 80 x 8192).
  const ModelSpec llama = by_name("llama-3.1-70b");
  const double tokens = 1024.0 * 8192;
  const double expected =
      12 * tokens * 80 * 8192.0 * 8192 * ((1 + 0.125 + 0.5) + 28672.0 / 8192 * 1.5 + 128256.0 / (2 * 80 * 8192.0));
  CHECK(model_flops(llama, tokens, 8192) / flops == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("model FLOPs are 6 times tokens times the matrices a token meets, and attention") {
  // 2 layers, hidden 8, 2 heads of 4, MLP 16, vocabulary 100. A layer: 4 x 64 + 2 x 128 = 512 weights. LM head 800.
  const ModelSpec tiny =
      from_text(R"({"layers": 2, "hidden": 8, "ffn_hidden": 16, "heads": 2, "vocab": 100, "gated_mlp": false})");
  // Attention: 12 x 2 layers x 2 heads x 4 x 10 tokens = 1920 a token; half when causal.
  CHECK(model_flops(tiny, 30, 10, false) / flops == doctest::Approx(30 * (6 * (2 * 512 + 800) + 1920.0)));
  CHECK(model_flops(tiny, 30, 10, true) / flops == doctest::Approx(30 * (6 * (2 * 512 + 800) + 960.0)));
}

TEST_CASE("experts cost the FLOPs of those used") {
  // Hidden 4, 1 head, 8 experts of width 2 of which 2 are used: attention 64, router 32, experts 2 x 3 x 8 = 48.
  const ModelSpec m = from_text(R"({"layers": 3, "hidden": 4, "heads": 1, "vocab": 10, "gated_mlp": true, "experts": 8,
      "experts_per_token": 2, "expert_ffn_hidden": 2})");
  CHECK(matmul_parameters_per_token(m) == 3 * (64 + 32 + 48));
  // All experts hold 8 x 24 = 192 a layer; two are used: 48.
  const ParameterCount c = count_parameters(m);
  CHECK(c.per_layer == 64 + 32 + 192 + 2 * 4);
  CHECK(c.total - c.active == 3 * (192 - 48));
  CHECK(m.not_plannable == "mixture-of-experts layers are not planned yet");
}

TEST_CASE("gated models follow Llama and the others follow GPT unless they say otherwise") {
  const ModelSpec llama =
      from_text(R"({"layers": 1, "hidden": 8, "ffn_hidden": 16, "heads": 2, "vocab": 9, "gated_mlp": true})");
  CHECK(llama.norm == NormKind::rms);
  CHECK(llama.position == PositionKind::rope);
  CHECK_FALSE(llama.mlp_bias);
  // Attention 256, MLP 3 x 128, norms 16; embedding 72, LM head 72, last norm 8.
  CHECK(count_parameters(llama).total == 256 + 384 + 16 + 72 + 72 + 8);

  const ModelSpec mpt =
      from_text(R"json({"layers": 1, "hidden": 8, "ffn_hidden": 32, "heads": 2, "vocab": 9, "gated_mlp": false,
      "tied_embeddings": true, "bias": "none", "positional": "learned(absolute)", "max_positions": 5})json");
  CHECK(mpt.norm == NormKind::layer);
  // 12 x 64, norms 16 without shift; embedding 72 and 5 x 8 positions; last norm 8.
  CHECK(count_parameters(mpt).total == 768 + 16 + 72 + 40 + 8);

  const ModelSpec gpt =
      from_text(R"({"layers": 1, "hidden": 8, "ffn_hidden": 32, "heads": 2, "vocab": 9, "gated_mlp": false,
      "tied_embeddings": true, "positional": "rope"})");
  CHECK(gpt.position == PositionKind::rope);
  // 12 x 64 + biases 24 + 8 + 32 + 8, norms 32; embedding 72; last norm 16.
  CHECK(count_parameters(gpt).total == 768 + 72 + 32 + 72 + 16);
}

TEST_CASE("a model may start from another and change some keys") {
  const ModelSpec half = from_text(R"({"base": "llama-3.1-8b", "name": "half", "layers": 16})");
  CHECK(half.name == "half");
  // 16 layers of 218,112,000 fewer (8,030,261,248 - 2 x 525,336,576 - 4096 = 32 x 218,112,000).
  CHECK(count_parameters(half).total == 8'030'261'248 - 16 * 218'112'000LL);
  const ModelSpec wide = from_text(R"({"base": "gpt2", "hidden": 1536, "ffn_hidden": 6144})");
  CHECK(wide.head_dim == 128);  // follows hidden / heads as it did
  CHECK(wide.kv_heads == 12);
}
