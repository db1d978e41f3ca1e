// The laws of the planner on problems that nobody chose: random models, clusters, frameworks and overlaps.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "planner/lower.h"
#include "planner/report.h"
#include "planner/search.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// Draws from std::mt19937, whose numbers are the same everywhere.
class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}
  std::int64_t below(std::uint32_t n) { return static_cast<std::int64_t>(random_() % n); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
  std::string pick(std::initializer_list<const char*> names) {
    return *(names.begin() + below(static_cast<std::uint32_t>(names.size())));
  }

 private:
  std::mt19937 random_;
};

std::string random_model(Draw& draw) {
  const std::int64_t heads = std::int64_t{1} << draw.below(6), hidden = heads * (32 << draw.below(3));
  const bool gated = draw.one_in(2);
  const std::int64_t kv_heads = gated ? std::max<std::int64_t>(1, heads >> draw.below(4)) : heads;
  return fmt::format(
      R"({{"layers": {}, "hidden": {}, "ffn_hidden": {}, "heads": {}, "kv_heads": {}, "vocab": {}, "gated_mlp": {},
          "tied_embeddings": {}, "dropout": {}}})",
      1 + draw.below(14), hidden, hidden * (1 + draw.below(4)), heads, kv_heads, 1000 + draw.below(60'000), gated,
      draw.one_in(2), draw.one_in(3) ? 0.1 : 0.0);
}

std::string random_job(Draw& draw) {
  const std::string overlap = draw.one_in(3)
                                  ? ""
                                  : fmt::format(R"(, "overlap": {{"tensor": {}, "data": {}, "pipeline": {}}})",
                                                draw.one_in(2), draw.one_in(2), draw.one_in(2));
  const std::string model = random_model(draw);
  const std::string node = draw.pick({"dgx-h100", "dgx-a100-80", "dgx-a100-40", "dgx-b200", "gb200-nvl72-tray"});
  const std::int64_t gpus = 1 + draw.below(40);
  const std::string training = fmt::format(R"({{"sequence_length": {}, "global_batch": {}, "precision": "{}"}})",
                                           128 << draw.below(4), 1 + draw.below(64), draw.one_in(3) ? "fp16" : "bf16");
  const std::string software = fmt::format(R"({{"framework": "{}", "attention": "{}", "cuda_graphs": {}}})",
                                           draw.pick({"megatron-core", "megatron-deepspeed", "torchtitan", "fsdp",
                                                      "deepspeed", "maxtext", "nanotron", "generic"}),
                                           draw.one_in(3) ? "unfused" : "flash", draw.one_in(2));
  return fmt::format(
      R"({{"model": {}, "cluster": {{"node": "{}", "gpus": {}}}, "training": {}, "software": {},
          "search": {{"micro_batch": [1, {}], "context": [1, 2], "context_kind": ["{}"]{}{}}}}})",
      model, node, gpus, training, software, 1 + draw.below(4), draw.pick({"ring", "ulysses", "all-gather"}), overlap,
      draw.one_in(4) ? R"(, "shard_group": 2)" : "");
}

/// Bound, memory and time of one plan, in both its graphs.
void check_plan(const Problem& problem, const Plan& plan, Judge& judge, Picoseconds bound) {
  CAPTURE(to_text(plan));
  const PlanCosts costs = judge.costs(plan);
  const sim::Timeline blocks = sim::simulate(lower(problem, plan, costs, judge.moments()).graph);
  const sim::Timeline kernels =
      sim::simulate(lower(problem, plan, costs, judge.moments(), {.memory = true, .kernels = true}).graph);
  CHECK(bound <= blocks.makespan);
  const std::vector<MemoryAnatomy> stages = memory_anatomy(problem, plan, costs, judge.moments());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    CHECK(stages[s].total == blocks.memory_peaks[s].bytes);
    CHECK(stages[s].total == kernels.memory_peaks[s].bytes);
  }
  if (gpus_used(plan) == plan.tensor) CHECK(kernels.makespan == blocks.makespan);
  const PlanReport report = evaluate(problem, plan);
  double parts = 0;
  for (const TimePart& part : report.time) parts += part.time.base();
  CHECK(std::abs(parts - report.step.base()) < 1e-11 * report.step.base());
  CHECK(report.step == to_seconds(blocks.makespan));
}

}  // namespace

TEST_CASE("bound, memory and parts hold for plans of random problems") {
  Draw draw(2);
  for (int round = 0; round < 30; ++round) {
    const std::string text = random_job(draw);
    CAPTURE(text);
    const Problem problem = job(text);
    Judge judge(problem);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      if (!draw.one_in(50)) return;
      const Judgement j = judge.judge(plan);
      if (!j.rejection) check_plan(problem, plan, judge, j.bound);
    });
  }
}

TEST_CASE("the search finds the fastest plans of random problems") {
  Draw draw(3);
  for (int round = 0; round < 8; ++round) {
    const std::string text = random_job(draw);
    CAPTURE(text);
    const Problem problem = job(text);
    Judge judge(problem);
    std::vector<Picoseconds> steps;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      if (judge.judge(plan).rejection) return;
      const StepGraph step = lower(problem, plan, judge.costs(plan), judge.moments(), {.memory = false});
      steps.push_back(sim::simulate(step.graph, {.memory = false, .releases = false}).makespan);
    });
    std::sort(steps.begin(), steps.end());
    SearchOptions options;
    options.top = 20;
    options.threads = 2;
    const SearchResult found = search(problem, options);
    REQUIRE(found.plans.size() == std::min<std::size_t>(20, steps.size()));
    for (std::size_t i = 0; i < found.plans.size(); ++i) CHECK(found.plans[i].step == to_seconds(steps[i]));
  }
}

TEST_CASE("bound and memory hold for samples of large spaces") {
  for (const char* text : {R"({"model": "llama-3.1-70b", "cluster": {"node": "dgx-h100", "nodes": 32},
            "training": {"sequence_length": 8192, "global_batch": 1024}, "search": {"micro_batch": [1, 2]}})",
                           R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "gpus": 1000},
            "training": {"sequence_length": 2048, "global_batch": 1792},
            "software": {"framework": "megatron-deepspeed", "attention": "unfused"},
            "search": {"tensor": 8, "pipeline": [8, 11, 12, 16, 24], "micro_batch": [1, 2], "recompute_layers": [0, 2]}})",
                           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "gpus": 60},
            "training": {"sequence_length": 8192, "global_batch": 240}, "software": {"framework": "torchtitan"},
            "search": {"tensor": [1, 2, 4], "pipeline": [1, 2, 3, 5], "micro_batch": [1, 2], "recompute_layers": 0}})"}) {
    CAPTURE(text);
    const Problem problem = job(text);
    Judge judge(problem);
    std::int64_t feasible = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      const Judgement j = judge.judge(plan);
      if (j.rejection || feasible++ % 59 != 0) return;
      CAPTURE(to_text(plan));
      const PlanCosts costs = judge.costs(plan);
      const sim::Timeline timeline = sim::simulate(lower(problem, plan, costs, judge.moments()).graph);
      CHECK(j.bound <= timeline.makespan);
      const std::vector<MemoryAnatomy> stages = memory_anatomy(problem, plan, costs, judge.moments());
      for (std::size_t s = 0; s < stages.size(); ++s) CHECK(stages[s].total == timeline.memory_peaks[s].bytes);
    });
    CHECK(feasible > 60);
  }
}
