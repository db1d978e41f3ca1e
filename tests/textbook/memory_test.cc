// Textbook numbers of memory: 16 bytes a parameter, ZeRO's stages, what pipelines and checkpoints hold.
#include "planner/memory.h"

#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include "planner/report.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

double total(const StateBytes& s) {
  return static_cast<double>(s.parameters) + static_cast<double>(s.gradients) + static_cast<double>(s.optimizer);
}

/// 16-bit weights and gradients, fp32 master weights and two moments: DeepSpeed's row in fp16.
StateBytes mixed_precision(double parameters, int zero, std::int64_t ranks) {
  Software software;
  software.framework = FrameworkKind::deepspeed;
  const FrameworkSpec f = framework_spec(software, Precision::fp16);
  return state_bytes(std::llround(parameters), zero, ranks, f.parameter_bytes, f.gradient_bytes, f.optimizer_bytes);
}

/// The textbooks' split: master weights are parameters, and only the moments are optimizer states.
StateBytes textbook_split(double parameters, int zero, std::int64_t ranks) {
  return state_bytes(std::llround(parameters), zero, ranks, 2 + 4, 2, 8);
}

}  // namespace

TEST_CASE("16N: 7B = 112 GB, 3B = 48 GB, 1B = 16 GB") {
  // 2 weights + 2 gradients + 4 master weights + 4 + 4 Adam moments (Rajbhandari et al. 2020, arXiv 1910.02054, 3.1).
  CHECK(total(mixed_precision(7e9, 0, 1)) == 112e9);
  CHECK(total(mixed_precision(3e9, 0, 1)) == 48e9);
  CHECK(total(mixed_precision(1e9, 0, 1)) == 16e9);
}

TEST_CASE("175B: 350 GB of weights in fp16, 2.1 TB of Adam states with master weights, 2.8 TB in all") {
  // 2 x 175e9; 12 x 175e9; 16 x 175e9.
  const StateBytes s = mixed_precision(175e9, 0, 1);
  CHECK(static_cast<double>(s.parameters) == 350e9);
  CHECK(static_cast<double>(s.optimizer) == 2.1e12);
  CHECK(total(s) == 2.8e12);
}

TEST_CASE("ZeRO on 7B and 8 GPUs, the textbooks' split: 112, 63, 50.75, 14 GB") {
  // DDP 16N; stage 1 shards the moments: 8N + 8N/8 = 56 + 7; stage 2 gradients too: 6N + 10N/8 = 42 + 8.75; stage 3
  // everything: 16N/8. Master weights stay whole up to stage 2.
  CHECK(total(textbook_split(7e9, 0, 8)) == 112e9);
  CHECK(total(textbook_split(7e9, 1, 8)) == 63e9);
  CHECK(total(textbook_split(7e9, 2, 8)) == 50.75e9);
  CHECK(total(textbook_split(7e9, 3, 8)) == 14e9);
}

TEST_CASE("ZeRO on 7B and 8 GPUs as trainers split it, and as ours does: 112, 38.5, 26.25, 14 GB") {
  // The master weights are sharded with the moments from stage 1 on: 4N + 12N/8 = 28 + 10.5; stage 2: 2N + 14N/8 =
  // 14 + 12.25. This is what DeepSpeed and Megatron's distributed optimizer hold.
  CHECK(total(mixed_precision(7e9, 0, 8)) == 112e9);
  CHECK(total(mixed_precision(7e9, 1, 8)) == 38.5e9);
  CHECK(total(mixed_precision(7e9, 2, 8)) == 26.25e9);
  CHECK(total(mixed_precision(7e9, 3, 8)) == 14e9);
  // The ZeRO paper's own example, figure 1: 7.5B on 64 GPUs: 120, 31.4, 16.6 and 1.9 GB (one decimal).
  CHECK(total(mixed_precision(7.5e9, 0, 64)) == 120e9);
  CHECK(total(mixed_precision(7.5e9, 1, 64)) == doctest::Approx(31.4e9).epsilon(0.05 / 31.4));
  CHECK(total(mixed_precision(7.5e9, 2, 64)) == doctest::Approx(16.6e9).epsilon(0.05 / 16.6));
  CHECK(total(mixed_precision(7.5e9, 3, 64)) == doctest::Approx(1.9e9).epsilon(0.05 / 1.9));
}

TEST_CASE("FSDP holds 1.75 GB of weights of a 7B model on 8 GPUs, and 0.44 GB of the layer at work") {
  // 14 GB / 8; 14 GB / 32 layers = 0.4375 GB.
  const StateBytes shard = mixed_precision(7e9, 3, 8), layer = mixed_precision(7e9 / 32, 0, 1);
  CHECK(static_cast<double>(shard.parameters) == 1.75e9);
  CHECK(static_cast<double>(layer.parameters) == 0.4375e9);
  // The same of a whole anatomy, Llama-2-7B (6.74e9 parameters, 202.4e6 a layer): an eighth of the weights; and of
  // each further layer that is held gathered (two: one at work, one prefetched), 0.40 GB.
  const Problem problem = job(
      R"({"model": "llama-2-7b", "cluster": {"node": "dgx-a100-80", "nodes": 1},
          "training": {"sequence_length": 2048, "global_batch": 8}, "software": {"framework": "generic"}})");
  Plan plan;
  plan.data = 8;
  plan.zero_stage = 3;
  const MemoryAnatomy m = evaluate(problem, plan).stages.front();
  CHECK(static_cast<double>(m[MemoryLabel::parameters]) == doctest::Approx(6.738e9 * 2 / 8).epsilon(1e-3));
  Problem deeper = problem;
  deeper.model.layers += 8;
  const MemoryAnatomy n = evaluate(deeper, plan).stages.front();
  const double a_layer = static_cast<double>(n[MemoryLabel::parameters] - m[MemoryLabel::parameters]);
  CHECK(a_layer == doctest::Approx(0.40e9).epsilon(0.02));      // eight layers, an eighth each
  CHECK(n[MemoryLabel::gathered] == m[MemoryLabel::gathered]);  // gathered layers do not add up
}

TEST_CASE("1F1B holds P micro-batches where GPipe holds M: 8x less at M = 32, P = 4") {
  const Problem problem = job(
      R"({"model": "gpt3-1.3b", "cluster": {"node": "dgx-a100-80", "nodes": 1},
          "training": {"sequence_length": 2048, "global_batch": 32}})");
  Plan plan;
  plan.pipeline = 4;
  const auto activations = [&](ScheduleKind kind) {
    plan.schedule = kind;
    return evaluate(problem, plan, {.even_if_too_big = true}).stages.front()[MemoryLabel::activations];
  };
  CHECK(activations(ScheduleKind::gpipe) == 8 * activations(ScheduleKind::one_f_one_b));
}

TEST_CASE("sqrt(L) checkpointing: keeping every sqrt(L)-th input needs least memory, 2 sqrt(L) layers' worth") {
  // Chen et al. 2016 (arXiv 1604.06174), section 4.1. A chain of L layers, one unit of activations each; segments of k
  // layers keep their first input and recompute the rest before their backward pass: L/k inputs and k activations.
  const auto peak = [](std::int32_t layers, std::int32_t segment) {
    sim::TaskGraph graph;
    const sim::LabelId label = graph.add_label({"layer", {{graph.part("compute"), 1}}});
    const sim::LaneId lane = graph.add_lane({"compute", graph.add_device({"gpu"})});
    const sim::MemoryLabelId units = graph.memory_label("activations");
    const auto run = [&](std::int64_t at_start, std::int64_t at_end) {
      const sim::TaskId task = graph.add_task({.lane = lane, .label = label, .duration = Picoseconds{1}});
      if (at_start != 0) graph.add_memory_effect({task, units, false, at_start});
      if (at_end != 0) graph.add_memory_effect({task, units, true, at_end});
    };
    for (std::int32_t l = 0; l < layers; ++l) run(l % segment == 0 ? 1 : 0, 0);
    for (std::int32_t last = layers; last > 0; last -= segment) {
      for (std::int32_t l = 0; l < segment; ++l) run(1, 0);                           // recompute
      for (std::int32_t l = 0; l < segment; ++l) run(0, l + 1 == segment ? -2 : -1);  // backward, then the input
    }
    return sim::simulate(graph).memory_peaks.front().bytes;
  };
  for (const std::int32_t root : {2, 4, 6, 8, 10}) {
    const std::int32_t layers = root * root;
    CHECK(peak(layers, root) == 2 * root);
    for (std::int32_t k = 1; k <= layers; ++k) {
      if (layers % k == 0) CHECK(peak(layers, k) >= 2 * root);
    }
  }
}

TEST_CASE("BLOOM-176B on 384 A100: TP 4, PP 12, DP 8 fits in 80 GB") {
  // As bigscience trained it (arXiv 2211.05100, section 3.3): micro-batch 2, bf16, ZeRO-1, activations checkpointed,
  // embedding and head a layer's place each (70 + 2 = 12 x 6).
  const Problem problem = job(
      R"({"model": "bloom-176b", "cluster": "jean-zay-bloom",
          "training": {"sequence_length": 2048, "global_batch": 2048, "precision": "bf16"},
          "software": {"framework": "megatron-deepspeed", "attention": "unfused"},
          "plan": {"tensor": 4, "pipeline": 12, "micro_batch": 2, "zero_stage": 1, "recompute": "full",
                   "account_for_embedding": true, "account_for_loss": true}})");
  CHECK(problem.plan->data == 8);
  CHECK(gpus_used(*problem.plan) == 384);
  const PlanReport r = evaluate(problem, *problem.plan);
  CHECK_FALSE(r.rejection.has_value());
  CHECK(r.peak_memory <= 80 * GB);
  // The state alone: 176.2e9 parameters over 4 x 12 GPUs are 3.67e9 each, a stage with the embedding a little more;
  // 2 bytes, gradients in 2 + 4 and 12 / 8 make 34.9 GB.
  double states = 0;
  for (const MemoryAnatomy& m : r.stages) {
    states += static_cast<double>(m[MemoryLabel::parameters] + m[MemoryLabel::gradients] + m[MemoryLabel::optimizer]);
  }
  // The tied table is stored on both end stages: 250,880 x 14,336 more.
  CHECK(4 * states / (2 + 2 + 4 + 12.0 / 8) == doctest::Approx(176.247e9 + 250'880.0 * 14'336).epsilon(2e-3));
}
