// Plans that do the same float operations in the same order give the same bits, not just the same numbers. Thread ranks
// sum in the order of their ranks, so this holds for them; NCCL promises no order.
#include <mutex>
#include <vector>

#include <doctest/doctest.h>

#include "validate/parallel/cpu_math.h"
#include "validate/parallel/thread_world.h"
#include "validate/parallel/trainer.h"

using namespace foretrain::parallel;

namespace {

struct Trained {
  std::vector<double> losses;
  Weights weights;  ///< of data rank 0, all stages
};

/// Three steps of the usual Adam, epsilon 1e-8.
Trained train(const SmallModel& model, const ParallelPlan& plan) {
  REQUIRE(why_illegal(model, plan) == nullptr);
  Trained trained;
  std::mutex mutex;
  run_threads(plan.ranks(), {}, [&](World& world) {
    const std::unique_ptr<Math> math = cpu_math();
    Trainer trainer({model, plan, {.weight_decay = 0.1F}}, world, *math);
    std::vector<double> losses;
    for (int step = 0; step < 3; ++step) {
      losses.push_back(trainer.compute_gradients(step));
      trainer.update(step);
    }
    const Weights weights = trainer.weights();
    const std::lock_guard lock(mutex);
    if (trainer.place().data != 0 || trainer.place().context != 0 || trainer.place().tensor != 0) return;
    trained.losses = losses;
    trained.weights.insert(weights.begin(), weights.end());
  });
  return trained;
}

void check_same_bits(const Trained& a, const Trained& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.weights == b.weights);
}

SmallModel model_with_dropout() {
  SmallModel model;
  model.layers = 4;
  model.attention_drop = 0.2F;
  model.hidden_drop = 0.1F;
  return model;
}

}  // namespace

TEST_CASE("ZeRO gives the bits of the unsharded Adam step") {
  for (const int ranks : {2, 3, 4}) {
    const SmallModel model = model_with_dropout();
    const Trained whole = train(model, {.data = ranks});
    for (const int stage : {1, 2, 3}) {
      CAPTURE(ranks);
      CAPTURE(stage);
      check_same_bits(whole, train(model, {.data = ranks, .zero_stage = stage}));
    }
    // Over several micro-batches only stage 1 adds in the same order: the others average each one first.
    check_same_bits(train(model, {.data = ranks, .micro_batches = 3}),
                    train(model, {.data = ranks, .micro_batches = 3, .zero_stage = 1}));
  }
}

TEST_CASE("1F1B and interleaved stages give the bits of one stage, dropout included") {
  const SmallModel model = model_with_dropout();
  const Trained one = train(model, {.micro_batches = 4});
  check_same_bits(one, train(model, {.pipeline = 2, .micro_batches = 4}));
  check_same_bits(one, train(model, {.pipeline = 4, .micro_batches = 4}));
  check_same_bits(one,
                  train(model, {.pipeline = 2, .virtual_pipeline = 2, .schedule = "interleaved", .micro_batches = 4}));
  // GPipe runs its backward passes from the last micro-batch to the first; one stage of it as well.
  check_same_bits(train(model, {.schedule = "gpipe", .micro_batches = 4}),
                  train(model, {.pipeline = 4, .schedule = "gpipe", .micro_batches = 4}));
}

TEST_CASE("recomputation gives the bits of kept activations, dropout included") {
  const SmallModel model = model_with_dropout();
  check_same_bits(train(model, {.micro_batches = 2}), train(model, {.micro_batches = 2, .recompute = true}));
  const ParallelPlan plan{.tensor = 2, .pipeline = 2, .sequence_parallel = true, .micro_batches = 4};
  ParallelPlan again = plan;
  again.recompute = true;
  check_same_bits(train(model, plan), train(model, again));
}

TEST_CASE("the same training twice gives the same bits, whatever the threads' timing") {
  const ParallelPlan plan{.tensor = 2, .data = 2, .pipeline = 2, .micro_batches = 4, .zero_stage = 1};
  check_same_bits(train(model_with_dropout(), plan), train(model_with_dropout(), plan));
}
