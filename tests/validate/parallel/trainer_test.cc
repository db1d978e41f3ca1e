#include "validate/parallel/trainer.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain::parallel;

TEST_CASE("a plan says why a model cannot run under it") {
  const SmallModel gpt;  // 2 layers, 4 heads, ffn 32, vocab 24, sequence 8
  const SmallModel grouped{.family = Family::llama, .kv_heads = 2};
  const auto why = [](const SmallModel& model, const ParallelPlan& plan) {
    const char* const text = why_illegal(model, plan);
    return std::string(text == nullptr ? "legal" : text);
  };
  CHECK(why(gpt, {}) == "legal");
  CHECK(why(gpt, {.tensor = 4, .context = 2, .data = 3, .pipeline = 2, .sequence_parallel = true}) == "legal");
  CHECK(why(gpt, {.schedule = "zigzag"}) == "has no such schedule");
  CHECK(why(gpt, {.virtual_pipeline = 2}) == "has one chunk a stage");
  CHECK(why(gpt, {.pipeline = 3}) == "needs layers divisible by pipeline parts");
  CHECK(why(gpt, {.tensor = 3}) == "needs heads divisible by tensor");
  const SmallModel three_of_twelve{.heads = 12, .kv_heads = 3};
  CHECK(why(three_of_twelve, {.tensor = 2}) == "needs kv heads divisible by tensor or the other way");
  const SmallModel odd_vocab{.vocab = 25};
  CHECK(why(odd_vocab, {.tensor = 2}) == "needs ffn_hidden and vocab divisible by tensor");
  CHECK(why(gpt, {.context = 8}) == "needs sequence divisible by 2 context");
  const SmallModel short_one{.heads = 8, .kv_heads = 8, .sequence = 4};
  CHECK(why(short_one, {.tensor = 8, .sequence_parallel = true}) ==
        "needs a context rank's tokens divisible by tensor");
  CHECK(why(grouped, {.context = 4, .context_kind = ContextKind::ulysses}) ==
        "needs a tensor rank's heads divisible by context");
}
