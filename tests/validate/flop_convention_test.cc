#include "validate/flop_convention.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

/// GPT-3 175B with a batch of 64 sequences of 2048: 96 layers, hidden 12288, vocabulary 51200.
Problem gpt3(const std::string& recompute) {
  const std::string text =
      R"({"model": {"name": "GPT-3", "layers": 96, "hidden": 12288, "ffn_hidden": 49152, "heads": 96, "kv_heads": 96,
          "head_dim": 128, "vocab": 51200, "gated_mlp": false, "tied_embeddings": true},
          "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 64, "gpus_per_node": 8},
          "training": {"sequence_length": 2048, "global_batch": 64, "precision": "fp16"},
          "plan": {"tensor": 8, "pipeline": 8, "micro_batch": 1, "recompute": ")" +
      recompute + R"("}})";
  return load_problem(SpecNode::parse(text, "job.json"), Catalogue::load());
}

constexpr double kBatch = 64, kSequence = 2048, kLayers = 96, kHidden = 12288, kVocabulary = 51200;

}  // namespace

TEST_CASE("full recomputation gives the FLOPs of Narayanan et al. 2021, equation 3") {
  const double paper = 96 * kBatch * kSequence * kLayers * kHidden * kHidden *
                       (1 + kSequence / (6 * kHidden) + kVocabulary / (16 * kLayers * kHidden));
  CHECK(hardware_flops(gpt3("full")).base() == doctest::Approx(paper).epsilon(1e-12));
}

TEST_CASE("without recomputation hardware and model FLOPs agree: 72 B s L h^2 (1 + s / 6h + V / 12 L h)") {
  // Source: Korthikanti et al. 2022 (arXiv 2205.05198), section 5, equation 7.
  const double paper = 72 * kBatch * kSequence * kLayers * kHidden * kHidden *
                       (1 + kSequence / (6 * kHidden) + kVocabulary / (12 * kLayers * kHidden));
  CHECK(hardware_flops(gpt3("none")).base() == doctest::Approx(paper).epsilon(1e-12));
  CHECK(model_flops_by("mosaicml/llm-foundry", gpt3("none")).base() == doctest::Approx(paper).epsilon(1e-12));
}

TEST_CASE("selective recomputation adds one more pass over scores and values, 4 B s^2 h L") {
  const double more = hardware_flops(gpt3("selective")).base() - hardware_flops(gpt3("none")).base();
  CHECK(more == doctest::Approx(4 * kBatch * kSequence * kSequence * kHidden * kLayers).epsilon(1e-9));
}

TEST_CASE("sources differ in the attention scores they count: all, the causal half, none") {
  const Problem problem = gpt3("none");
  const double scores = 12 * kBatch * kSequence * kSequence * kHidden * kLayers;
  const double all = model_flops_by("pytorch/torchtitan benchmarks", problem).base();
  CHECK(all - model_flops_by("NVIDIA Megatron-Bridge performance summary", problem).base() ==
        doctest::Approx(scores / 2).epsilon(1e-9));
  CHECK(all - model_flops_by("FlagPerf", problem).base() == doctest::Approx(scores).epsilon(1e-9));
}
