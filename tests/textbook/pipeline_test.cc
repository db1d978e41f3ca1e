// Textbook numbers of time: pipeline bubbles, recomputation, Amdahl's law.
#include <cstdint>

#include <doctest/doctest.h>

#include "planner/lower.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;

namespace {

constexpr Picoseconds kForward{1000}, kBackward{2000};

/// Idle share of the pipeline's GPUs.
double bubble(const char* schedule, const sim::PipelineShape& shape) {
  const sim::Schedule* found = sim::find_schedule(schedule);
  REQUIRE(found != nullptr);
  const sim::Timeline t = sim::simulate(sim::pipeline_graph(*found, shape, {kForward, kBackward}));
  const std::int64_t work = std::int64_t{shape.micro_batches} * shape.virtual_stages;
  return 1 - to_seconds(work * (kForward + kBackward)) / to_seconds(t.makespan);
}

}  // namespace

TEST_CASE("the bubble is (P-1)/(M+P-1): 16 % at P=4 M=16, 9 % at M=32") {
  // 3/19 = 15.8 %, 3/35 = 8.6 %.
  for (const char* schedule : {"1f1b", "gpipe"}) {
    CHECK(bubble(schedule, {4, 1, 16}) == doctest::Approx(3.0 / 19).epsilon(1e-12));
    CHECK(bubble(schedule, {4, 1, 32}) == doctest::Approx(3.0 / 35).epsilon(1e-12));
  }
  CHECK(bubble("1f1b", {4, 1, 16}) == doctest::Approx(0.16).epsilon(0.005 / 0.16));
  CHECK(bubble("1f1b", {4, 1, 32}) == doctest::Approx(0.09).epsilon(0.005 / 0.09));
}

TEST_CASE("one micro-batch uses 1/P of the pipeline") {
  for (const std::int32_t stages : {2, 4, 8, 16}) {
    CHECK(1 - bubble("1f1b", {stages, 1, 1}) == doctest::Approx(1.0 / stages).epsilon(1e-12));
  }
}

TEST_CASE("interleaving over v chunks divides the bubble by v") {
  // Idle over work: (P-1)/M, and (P-1)/(v M) interleaved (Narayanan et al. 2021, arXiv 2104.04473, section 2.2.2).
  for (const std::int32_t chunks : {2, 4, 5}) {
    const auto idle_over_work = [](double b) { return b / (1 - b); };
    CHECK(idle_over_work(bubble("interleaved", {4, chunks, 16})) ==
          doctest::Approx(idle_over_work(bubble("1f1b", {4, 1, 16})) / chunks).epsilon(1e-12));
  }
}

TEST_CASE("a planned step has the textbook bubble once messages, host and ends cost nothing") {
  const Problem problem = job(
      R"({"model": "gpt3-1.3b", "cluster": {"node": "dgx-a100-80", "nodes": 1},
          "training": {"sequence_length": 2048, "global_batch": 16}, "software": {"cuda_graphs": true}})");
  for (const std::int32_t chunks : {1, 3}) {
    Plan plan;
    plan.pipeline = 4;
    plan.virtual_pipeline = chunks;
    plan.schedule = chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
    PlanCosts costs = costs_of(problem, plan);
    for (std::size_t k = 0; k < costs.forward.size(); ++k) {
      costs.forward[k] = costs.forward[1];
      costs.backward[k] = costs.backward[1];
    }
    for (StageCost& stage : costs.stages) stage.optimizer = {};
    costs.transfer = {};
    costs.embedding_reduce = costs.norm_reduce = {};
    costs.framework.step_overhead = {};
    PeakMoments moments;
    const sim::Timeline t = sim::simulate(lower(problem, plan, costs, moments).graph);
    const std::int64_t work = 16 * chunks * (costs.forward[1].gpu + costs.backward[1].gpu).count;
    // (P-1)/v of M: 3 of 16 stage passes, one of 16 with three chunks.
    CHECK((t.makespan.count - work) * 16 * chunks == 3 * work);
  }
}

TEST_CASE("full recomputation costs one more forward pass, about 33 %") {
  // Backward is twice forward in FLOPs: (1 + 2 + 1) / (1 + 2) = 1.33. Here with every kernel's own time: 3 points off
  // at most.
  for (const char* model : {"gpt3-175b", "llama-3.1-70b"}) {
    Problem problem = job(
        R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "nodes": 1},
            "training": {"sequence_length": 2048, "global_batch": 8}})");
    problem.model = load_model(SpecNode::parse("\"" + std::string(model) + "\"", "model"), "");
    BlockShape shape;
    shape.tensor = 8;
    shape.sequence_length = 2048;
    shape.recompute = Recompute::full;
    const BlockCosts c = block_costs(problem, shape, framework_spec(problem.software, problem.training.precision));
    const double kept = to_seconds(c.layer_forward.gpu + c.layer_backward_kept.gpu).base(),
                 recomputed = to_seconds(c.layer_forward.gpu + c.layer_backward.gpu).base();
    CAPTURE(model);
    CHECK(c.layer_backward.gpu == c.layer_backward_kept.gpu + c.layer_forward.gpu);
    CHECK(recomputed / kept == doctest::Approx(4.0 / 3).epsilon(0.03));
  }
}

TEST_CASE("Amdahl: 5 % serial work on 64 GPUs is 15.4 times as fast, not 64") {
  // 1 / (0.05 + 0.95 / 64) = 15.42.
  const auto makespan = [](std::int32_t gpus) {
    sim::TaskGraph graph;
    const sim::LabelId label = graph.add_label({"work", {{graph.part("compute"), 1}}});
    constexpr std::int64_t kWork = 64 * 100'000;
    const sim::LaneId host = graph.add_lane({"host", graph.add_device({"host"}), sim::LaneKind::host});
    const sim::TaskId serial = graph.add_task({.lane = host, .label = label, .duration = Picoseconds{kWork / 20}});
    for (std::int32_t g = 0; g < gpus; ++g) {
      const sim::LaneId lane = graph.add_lane({"compute", graph.add_device({"gpu"})});
      for (std::int32_t i = g; i < 64; i += gpus) {  // the parallel 95 %, in 64 equal parts
        const sim::TaskId part =
            graph.add_task({.lane = lane, .label = label, .duration = Picoseconds{kWork / 64 * 19 / 20}});
        graph.add_dependency(serial, part);
      }
    }
    return to_seconds(sim::simulate(graph).makespan);
  };
  CHECK(makespan(1) / makespan(64) == doctest::Approx(15.4).epsilon(0.05 / 15.4));
}
