/// cuDNN recognises our graphs as flash attention on described GPUs: no GPU, no driver needed.
#include "validate/gpu/library/attention_graph.h"

#include <array>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

Descriptor device_named(const std::string& name) {
  std::ifstream file("tests/validate/gpu/data/cudnn_device_" + name + ".json");
  REQUIRE(file.good());
  return described_device(std::string(std::istreambuf_iterator<char>(file), {}));
}

/// Llama-3 8B, 70B at TP 8, GPT-3 175B at TP 8, and a model with heads of 64 and several samples.
constexpr std::array kAttentions = {
    Attention{.batch = 1, .seq_q = 8192, .seq_kv = 8192, .heads_q = 32, .heads_kv = 8},
    Attention{.batch = 1, .seq_q = 8192, .seq_kv = 8192, .heads_q = 8, .heads_kv = 1},
    Attention{.batch = 2, .seq_q = 2048, .seq_kv = 2048, .heads_q = 12, .heads_kv = 12},
    Attention{.batch = 4, .seq_q = 1024, .seq_kv = 1024, .heads_q = 12, .heads_kv = 12, .d_qk = 64, .d_v = 64},
};

Attention variant(Attention a, DType dtype, bool causal, bool backward) {
  a.dtype = dtype;
  a.causal = causal;
  a.backward = backward;
  return a;
}

}  // namespace

TEST_CASE("A described A100, H100 and B200 have engines for attention forward and backward") {
  for (const char* name : {"a100", "h100", "b200"}) {
    const Descriptor device = device_named(name);
    for (const Attention& attention : kAttentions) {
      for (const DType dtype : {DType::bf16, DType::fp16}) {
        for (const bool causal : {true, false}) {
          for (const bool backward : {false, true}) {
            const Attention a = variant(attention, dtype, causal, backward);
            CAPTURE(name);
            CAPTURE(text_of(a));
            const Descriptor graph = attention_graph(a).finalised(nullptr);
            CHECK(count_engines(graph, &device) > 0);
#ifdef FORETRAIN_STUB_DRIVER  // the toolkit's stub stands in for libcuda: cuDNN then checks its support for the shape
            CHECK(!engine_configurations(graph, &device).empty());
#endif
          }
        }
      }
    }
  }
}

TEST_CASE("They have engines for the turns of a ring, in which half as many keys pass by as there are queries") {
  for (const char* name : {"a100", "h100", "b200"}) {
    const Descriptor device = device_named(name);
    for (const bool backward : {false, true}) {
      Attention a = variant(kAttentions[0], DType::bf16, false, backward);
      a.seq_q = 4096;
      a.seq_kv = 2048;
      CAPTURE(name);
      CAPTURE(text_of(a));
      const Descriptor graph = attention_graph(a).finalised(nullptr);
      CHECK(count_engines(graph, &device) > 0);
#ifdef FORETRAIN_STUB_DRIVER
      CHECK(!engine_configurations(graph, &device).empty());
#endif
    }
  }
}

TEST_CASE("The graphs have the operations of the pattern, no more") {
  // Forward: product, scale, mask (2 indices, comparison, choice), maximum, difference, exponential, sum, logarithm,
  // statistics, quotient, product. Backward, grouped heads: 3 for D, 3 and the mask and the exponential for P, reshape,
  // product and sum of heads for dv, product, difference, product, scale for dS, 3 for dk, reshape, product, copy for
  // dq.
  const auto operations = [](bool causal, bool backward) {
    return attention_graph(variant(kAttentions[0], DType::bf16, causal, backward)).operations();
  };
  CHECK(operations(true, false) == 14);
  CHECK(operations(false, false) == 10);
  CHECK(operations(true, true) == 24);
  CHECK(operations(false, true) == 20);
  CHECK(attention_graph(variant(kAttentions[2], DType::bf16, true, true)).operations() == 22);  // one head a head
}

#ifdef FORETRAIN_STUB_DRIVER
TEST_CASE("The check can fail: heads that no tensor core reads, backward heads too wide for an A100") {
  const auto supported = [](const char* device_name, std::int64_t d, bool backward) {
    Attention a = variant(kAttentions[0], DType::bf16, true, backward);
    a.d_qk = a.d_v = d;
    const Descriptor device = device_named(device_name);
    return !engine_configurations(attention_graph(a).finalised(nullptr), &device).empty();
  };
  for (const char* name : {"a100", "h100", "b200"}) {
    for (const bool backward : {false, true}) {
      CHECK_FALSE(supported(name, 100, backward));  // 200 bytes a row: not a multiple of 16
      CHECK(supported(name, 96, backward));
    }
  }
  // Backward heads of more than 128 came with Hopper's kernels. Source: cuDNN documentation, scaled dot-product
  // attention, "supported head dimensions".
  CHECK_FALSE(supported("a100", 192, true));
  CHECK(supported("h100", 192, true));
}
#endif

TEST_CASE("Shapes that the graph cannot state are refused by name") {
  Attention odd_heads = kAttentions[0];
  odd_heads.heads_kv = 5;
  Attention part = kAttentions[0];
  part.seq_q = 4096;
  CHECK_THROWS_WITH_AS(attention_graph(odd_heads),
                       "attention 1x8192x32/5x128 bf16 causal: needs query heads that key heads divide", SpecError);
  CHECK_THROWS_AS(attention_graph(part), SpecError);
  CHECK_THROWS_AS(attention_graph(variant(kAttentions[0], DType::fp8, true, false)), SpecError);
}
