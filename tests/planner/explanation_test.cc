// What explains a plan: sums that close, elasticities worked out by hand, and changes that turn the order of two plans.
#include "planner/explanation.h"

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "planner/search.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

void check_closes(const Contrast& c) {
  std::int64_t own = 0, other = 0, more = 0;
  for (const ContrastRow& row : c.rows) {
    own += row.own;
    other += row.other;
    more += row.more();
  }
  CHECK(own == c.own);
  CHECK(other == c.other);
  CHECK(more == c.other - c.own);
}

/// One GPU that does nothing but large GEMMs: no launches to wait for, short sequences, a small head.
Problem compute_bound() {
  return job(R"({"model": {"layers": 4, "hidden": 16384, "ffn_hidden": 65536, "heads": 128, "vocab": 1024,
                           "gated_mlp": false},
                 "cluster": {"node": "dgx-h100", "gpus": 1},
                 "training": {"sequence_length": 1024, "global_batch": 64},
                 "software": {"cuda_graphs": true}, "plan": {"micro_batch": 32}})");
}

double change(const Explanation& e, Resource resource) {
  return e.elasticities[static_cast<std::size_t>(resource)].change;
}

}  // namespace

TEST_CASE("differences of two plans close to the picosecond and the byte, in every small space") {
  int compared = 0;
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    const SearchResult found = search(problem, {.top = 12, .threads = 1, .stop = nullptr, .progress = {}});
    REQUIRE(!found.plans.empty());
    for (const PlanReport& other : found.plans) {
      const PlanReport& own = found.plans.front();
      const Contrast time = contrast_time(own, other), memory = contrast_memory(own, other);
      check_closes(time);
      check_closes(memory);
      CHECK(time.own == to_picoseconds(own.step).count);
      CHECK(time.other == to_picoseconds(other.step).count);
      CHECK(static_cast<double>(memory.other) == other.peak_memory.base());
      for (const std::int64_t unit : {std::int64_t{1'000}, std::int64_t{10'000'000}, std::int64_t{1'000'000'000}}) {
        const Contrast rounded = in_units(time, unit);
        check_closes(rounded);
        CHECK(std::abs(rounded.own * unit - time.own) <= unit / 2);
      }
      ++compared;
    }
  }
  CHECK(compared > 50);
}

TEST_CASE("the critical chain's labels and links each sum to the makespan, however few links there are") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    const SearchResult found = search(problem, {.top = 3, .threads = 1, .stop = nullptr, .progress = {}});
    for (const PlanReport& report : found.plans) {
      const DetailedReport detailed = evaluate_in_detail(problem, report.plan);
      const CriticalChain chain = critical_chain(detailed.graph, detailed.timeline);
      Picoseconds by_label;
      for (const ChainLabel& label : chain.labels) by_label += label.time;
      CHECK(by_label == detailed.timeline.makespan);
      for (const std::size_t most : {std::size_t{1}, std::size_t{5}, std::size_t{1000}}) {
        const std::vector<ChainLink> links = joined(chain.links, most);
        CHECK(links.size() <= most);
        TimePoint reached;
        for (const ChainLink& link : links) {
          CHECK(link.start == reached);
          reached = reached + link.time;
          Picoseconds labelled;
          for (const ChainLabel& label : link.labels) labelled += label.time;
          CHECK(labelled == link.time);
        }
        CHECK(reached - TimePoint{} == detailed.timeline.makespan);
      }
    }
  }
}

TEST_CASE("a chain from one stage to the other and back has three links") {
  // Stage 0 works 5 s, stage 1 waits for it and works 7 s, stage 0 ends with 2 s: 14 s, all on the path.
  sim::TaskGraph graph;
  const sim::LabelId label = graph.add_label({"forward", {{graph.part("compute"), 1}}});
  const sim::LaneId zero = graph.add_lane({"compute", graph.add_device({"stage 0"})});
  const sim::LaneId one = graph.add_lane({"compute", graph.add_device({"stage 1"})});
  const auto task = [&](sim::LaneId lane, double time) {
    return graph.add_task({.lane = lane, .label = label, .duration = to_picoseconds(time * seconds)});
  };
  const sim::TaskId a = task(zero, 5), b = task(one, 7), c = task(zero, 2);
  graph.add_dependency(a, b);
  graph.add_dependency(b, c);
  const CriticalChain chain = critical_chain(graph, sim::simulate(graph));
  REQUIRE(chain.links.size() == 3);
  CHECK(chain.links[1].first_device == 1);
  CHECK(to_seconds(chain.links[1].start - TimePoint{}).base() == doctest::Approx(5));
  REQUIRE(chain.labels.size() == 1);
  CHECK(chain.labels[0].tasks == 3);
  const std::vector<ChainLink> few = joined(chain.links, 2);
  REQUIRE(few.size() == 1);
  CHECK(few[0].first_device == 0);
  CHECK(few[0].last_device == 1);
  CHECK(few[0].labels[0].tasks == 3);
}

TEST_CASE("1 % more FLOP/s takes 1 % off a step that is nothing but GEMMs, and links do not matter to one GPU") {
  const Problem problem = compute_bound();
  const Explanation e = explain_plan(problem, {.plan = *problem.plan, .against = {}});
  // 1 / 1.01 - 1 = -0.990 %. Layer: 12 h^2 weights, 32,768 tokens: 6 x 12 x 16384^2 x 32768 = 6.3e14 FLOP, 0.9 s of an
  // H100; norms, activations and the optimizer move some 20 x 4 x 32768 x 16384 x 2 bytes = 86 GB a layer, 0.03 s.
  CHECK(change(e, Resource::peak_flops) < -0.0090);
  CHECK(change(e, Resource::peak_flops) > -0.0100);
  CHECK(change(e, Resource::hbm_bandwidth) < 0);
  CHECK(change(e, Resource::nvlink_bandwidth) == 0);
  CHECK(change(e, Resource::nic_bandwidth) == 0);
  CHECK(change(e, Resource::network_latency) == 0);
  CHECK(change(e, Resource::memory) == 0);
  // All time is bought from some resource: together they cannot give more than 1 / 1.01 - 1, nor much less here.
  const double sum = change(e, Resource::peak_flops) + change(e, Resource::hbm_bandwidth);
  CHECK(sum > -0.0100);
  CHECK(sum < -0.0095);
}

TEST_CASE("more of a rate never makes a step longer, and more latency never shorter, in every small space") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    const SearchResult found = search(problem, {.top = 2, .threads = 1, .stop = nullptr, .progress = {}});
    for (const PlanReport& report : found.plans) {
      // A tenth of a thousandth: NCCL's choice of protocol is the tuner's, which may err by a little.
      for (const Resource rate : {Resource::peak_flops, Resource::hbm_bandwidth})
        CHECK(elasticity(problem, report.plan, rate) <= 1e-4);
      CHECK(elasticity(problem, report.plan, Resource::network_latency) >= -1e-4);
      double sum = 0;
      for (const Resource rate :
           {Resource::peak_flops, Resource::hbm_bandwidth, Resource::nvlink_bandwidth, Resource::nic_bandwidth})
        sum += elasticity(problem, report.plan, rate);
      CHECK(sum > -0.0105);
    }
  }
}

TEST_CASE("the factor that turns the order of two plans turns it, and a little less does not") {
  // ZeRO-3 over eight nodes gathers all parameters over the network and wins while that is fast; tensor parallelism
  // in a node hardly uses it and wins when it is slow.
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 8},
                                  "training": {"sequence_length": 2048, "global_batch": 128},
                                  "plan": {"zero_stage": 3}})");
  const Plan& sharded = *problem.plan;
  Plan split = sharded;
  split.tensor = 8;
  split.data = 8;
  split.zero_stage = 1;
  split.sequence_parallel = true;
  REQUIRE(outcome(problem, sharded).step < outcome(problem, split).step);
  const std::vector<BreakEven> down = break_even(problem, sharded, split, Resource::nic_bandwidth);
  REQUIRE(down.size() == 1);
  const auto check = [](const Problem& p, const Plan& own, const Plan& other, const BreakEven& b, double less) {
    const Problem there = scaled(p, Resource::nic_bandwidth, b.factor);
    CHECK(b.other < b.own);
    CHECK(outcome(there, other).step == b.other);
    CHECK(outcome(there, own).step == b.own);
    const Problem before = scaled(p, Resource::nic_bandwidth, b.factor * less);
    CHECK(outcome(before, other).step >= outcome(before, own).step);
  };
  CHECK(down[0].factor < 1);
  check(problem, sharded, split, down[0], 1.02);
  // Seen from a network of a quarter of the speed, the same change lies upwards.
  const Problem slow = scaled(problem, Resource::nic_bandwidth, 0.25);
  const std::vector<BreakEven> up = break_even(slow, split, sharded, Resource::nic_bandwidth);
  REQUIRE(!up.empty());
  CHECK(up[0].factor > 1);
  check(slow, split, sharded, up[0], 1 / 1.02);
  CHECK(0.25 * up[0].factor == doctest::Approx(down[0].factor).epsilon(0.02));
}

TEST_CASE("a plan that needs less memory wins where the other no longer fits") {
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
                                  "training": {"sequence_length": 4096, "global_batch": 64},
                                  "plan": {"tensor": 4, "recompute": "none"}})");
  Plan less = *problem.plan;
  less.recompute = Recompute::full;
  const std::vector<BreakEven> found = break_even(problem, *problem.plan, less, Resource::memory);
  REQUIRE(found.size() == 1);
  CHECK(found[0].factor < 1);
  CHECK(outcome(scaled(problem, Resource::memory, found[0].factor * 1.0001), *problem.plan).runs());
  const Problem tight = scaled(problem, Resource::memory, found[0].factor * 0.9999);
  CHECK(!outcome(tight, *problem.plan).runs());
  CHECK(outcome(tight, less).runs());
}

TEST_CASE("an explanation of two plans is about the slower one winning, whichever is named first") {
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 2},
                                  "training": {"sequence_length": 4096, "global_batch": 64},
                                  "plan": {"tensor": 2, "zero_stage": 1}})");
  Plan other = *problem.plan;
  other.tensor = 8;
  other.data = 2;
  const Explanation e = explain_plan(problem, {.plan = *problem.plan, .against = other});
  const Explanation back = explain_plan(problem, {.plan = other, .against = *problem.plan});
  REQUIRE(e.time);
  CHECK(e.time->own == back.time->other);
  REQUIRE(e.break_evens.size() == back.break_evens.size());
  for (std::size_t i = 0; i < e.break_evens.size(); ++i) CHECK(e.break_evens[i].factor == back.break_evens[i].factor);
  for (const OtherSize& size : e.other_sizes) CHECK(size.other < size.own);
}

TEST_CASE("of a plan that breaks a rule only the refusal is told") {
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
                                  "training": {"sequence_length": 4096, "global_batch": 64}, "plan": {"tensor": 4}})");
  Plan wrong = *problem.plan;
  wrong.pipeline = 3;
  wrong.data = 1;
  const Explanation e = explain_plan(problem, {.plan = wrong, .against = *problem.plan});
  CHECK(e.report.rejection.has_value());
  CHECK(!e.time);
  CHECK(e.troubles.empty());
}
