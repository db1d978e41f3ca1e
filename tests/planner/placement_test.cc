// Which layers lie on which stage.
#include "planner/placement.h"

#include <numeric>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

std::vector<std::int32_t> placed(std::int64_t layers, const Plan& plan) {
  ModelSpec model;
  model.layers = layers;
  return place_layers(model, plan).layers;
}
Plan plan_of(std::int32_t pipeline, std::int32_t chunks, bool embedding, bool loss) {
  Plan plan;
  plan.pipeline = pipeline;
  plan.virtual_pipeline = chunks;
  plan.account_for_embedding = embedding;
  plan.account_for_loss = loss;
  return plan;
}
using Layers = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("layers that divide are dealt evenly") {
  CHECK(placed(32, plan_of(4, 1, false, false)) == Layers(4, 8));
  CHECK(placed(80, plan_of(4, 5, false, false)) == Layers(20, 4));
}

TEST_CASE("Llama-3.1-405B: 126 layers and two places for embedding and loss over 16 x 8 chunks") {
  // 128 places, one a chunk: the first holds the embedding alone, the last the head.
  const Layers layers = placed(126, plan_of(16, 8, true, true));
  CHECK(layers.size() == 128);
  CHECK(layers.front() == 0);
  CHECK(layers.back() == 0);
  CHECK(std::accumulate(layers.begin(), layers.end(), 0) == 126);
  CHECK(layers[64] == 1);
}

TEST_CASE("BLOOM: 70 layers and two places over 12 stages") {
  // 72 / 12 = 6; one less where the embedding is and where the loss is.
  CHECK(placed(70, plan_of(12, 1, true, true)) == Layers{5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5});
}

TEST_CASE("a remainder goes one layer each to the first stages, as DeepSpeed's uniform partition does") {
  CHECK(placed(7, plan_of(3, 1, false, false)) == Layers{3, 2, 2});
  CHECK(placed(7, plan_of(4, 1, false, true)) == Layers{2, 2, 2, 1});
}

TEST_CASE("layers placed by hand stay where they are put") {
  Plan plan = plan_of(4, 1, false, false);
  plan.stage_layers = {2, 4, 3, 0};
  CHECK(placed(9, plan) == Layers{2, 4, 3, 0});
  // One number a stage with two chunks: each stage's layers halved, the odd one to its first chunk.
  plan = plan_of(2, 2, false, false);
  plan.stage_layers = {5, 4};
  CHECK(placed(9, plan) == Layers{3, 2, 2, 2});
}

TEST_CASE("every deal sums to the model's layers and differs by at most one between inner stages") {
  for (std::int64_t layers = 1; layers <= 40; ++layers) {
    for (std::int32_t pipeline = 1; pipeline <= 12; ++pipeline) {
      for (int ends = 0; ends < 4; ++ends) {
        const Plan plan = plan_of(pipeline, 1, (ends & 1) != 0, (ends & 2) != 0);
        if (pipeline > layers + (ends & 1) + (ends >> 1)) continue;
        const Layers dealt = placed(layers, plan);
        CHECK(std::accumulate(dealt.begin(), dealt.end(), 0) == layers);
        ModelSpec model;
        model.layers = layers;
        for (std::size_t s = 2; s + 1 < dealt.size(); ++s) {
          CHECK(dealt[s] <= dealt[s - 1]);
          CHECK(dealt[s] >= dealt[s - 1] - 1);
          if (divides_evenly(model, plan)) CHECK(dealt[s] == dealt[1]);
        }
      }
    }
  }
}
