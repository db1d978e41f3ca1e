// The search against brute force: every plan of a space evaluated, and the best taken.
#include "planner/search.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

struct BruteForce {
  std::int64_t considered = 0, feasible = 0;
  std::array<std::int64_t, kRejectionNames.size()> rejected{};
  std::vector<PlanReport> best;  // all feasible ones, best first
  std::optional<PlanReport> nearest_miss;
};

/// Judged and simulated with the costs made anew for each plan; no bound, no threads, no packing.
BruteForce brute_force(const Problem& problem) {
  BruteForce b;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    ++b.considered;
    PlanReport r = evaluate(problem, plan);
    if (!r.rejection) {
      ++b.feasible;
      b.best.push_back(std::move(r));
      return;
    }
    ++b.rejected[static_cast<std::size_t>(r.rejection->reason)];
    if (r.rejection->reason != RejectionReason::memory) return;
    if (!b.nearest_miss || r.rejection->excess < b.nearest_miss->rejection->excess) b.nearest_miss = std::move(r);
  });
  std::stable_sort(b.best.begin(), b.best.end(),
                   [](const PlanReport& a, const PlanReport& c) { return a.step < c.step; });
  return b;
}

void check_same(const PlanReport& a, const PlanReport& b) {
  CHECK(to_json(a.plan) == to_json(b.plan));
  CHECK(a.step == b.step);
  CHECK(a.peak_memory == b.peak_memory);
  CHECK(a.tokens_per_second_per_gpu == b.tokens_per_second_per_gpu);
  CHECK(a.bounding_stage == b.bounding_stage);
  CHECK(a.time.size() == b.time.size());
  for (std::size_t i = 0; i < std::min(a.time.size(), b.time.size()); ++i) {
    CHECK(a.time[i].name == b.time[i].name);
    CHECK(a.time[i].time == b.time[i].time);
  }
}

// Memory refuses part of this space: Llama-3.1-8B on eight 32 GB V100s.
constexpr std::string_view kTight =
    R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-2h", "gpus": 8},
        "training": {"sequence_length": 2048, "global_batch": 16, "precision": "fp16"},
        "search": {"micro_batch": [1, 2], "tensor": [1, 2, 4, 8], "pipeline": [1, 2, 4, 8], "virtual_pipeline": 1,
                   "recompute_layers": 0}})";
// Nothing fits: Llama-3.1-70B on eight of them.
constexpr std::string_view kHopeless =
    R"({"model": "llama-3.1-70b", "cluster": {"node": "dgx-2h", "gpus": 8},
        "training": {"sequence_length": 2048, "global_batch": 16, "precision": "fp16"},
        "search": {"micro_batch": 1, "recompute_layers": 0}})";

}  // namespace

TEST_CASE("the search finds what brute force finds, with 1, 2 and 3 threads") {
  std::vector<std::string_view> spaces(kSmallSpaces.begin(), kSmallSpaces.end());
  spaces.push_back(kTight);
  for (const std::string_view text : spaces) {
    CAPTURE(text);
    const Problem problem = job(text);
    const BruteForce all = brute_force(problem);
    for (const auto& [threads, top] : {std::pair(1, 10), std::pair(2, 10), std::pair(3, 10), std::pair(2, 200)}) {
      SearchOptions options;
      options.top = top;
      options.threads = threads;
      const SearchResult found = search(problem, options);
      CHECK(found.considered == all.considered);
      CHECK(found.rejected == all.rejected);
      CHECK(found.simulated + found.cut_by_bound == all.feasible);
      CHECK_FALSE(found.stopped_early);
      REQUIRE(found.plans.size() == std::min(static_cast<std::size_t>(top), all.best.size()));
      for (std::size_t i = 0; i < found.plans.size(); ++i) check_same(found.plans[i], all.best[i]);
      REQUIRE(found.nearest_miss.has_value() == all.nearest_miss.has_value());
      if (all.nearest_miss) {
        CHECK(to_json(found.nearest_miss->plan) == to_json(all.nearest_miss->plan));
        CHECK(found.nearest_miss->rejection->excess == all.nearest_miss->rejection->excess);
      }
    }
  }
}

TEST_CASE("where memory refuses plans, the counts say so and the nearest miss lacks least") {
  const SearchResult found = search(job(kTight));
  CHECK(found.rejected[static_cast<std::size_t>(RejectionReason::memory)] > 0);
  CHECK(found.simulated > 0);
  REQUIRE(found.nearest_miss.has_value());
  CHECK(found.nearest_miss->rejection->excess ==
        doctest::Approx((found.nearest_miss->peak_memory - found.nearest_miss->memory_limit).base()));
}

TEST_CASE("a job that nothing fits gives no plan, every reason and the nearest miss") {
  // 70.6e9 parameters x 16 bytes / 8 GPUs = 141 GB a GPU, of 32: no plan can fit.
  const SearchResult found = search(job(kHopeless));
  CHECK(found.plans.empty());
  CHECK(found.simulated == 0);
  CHECK(found.cut_by_bound == 0);
  REQUIRE(found.nearest_miss.has_value());
  CHECK(found.nearest_miss->peak_memory > 100 * GB);
  std::int64_t rejected = 0;
  for (const std::int64_t n : found.rejected) rejected += n;
  CHECK(rejected == found.considered);
}

TEST_CASE("a search that is stopped gives what it has and says so") {
  std::atomic<bool> stop{true};
  SearchOptions options;
  options.stop = &stop;
  options.threads = 1;
  const SearchResult found = search(job(kSmallSpaces[0]), options);
  CHECK(found.plans.empty());
  CHECK(found.considered == 0);
}

TEST_CASE("a search that is stopped while it simulates gives the plan with the least bound, and counts the others") {
  std::atomic<bool> stop{false};
  SearchOptions options;
  options.stop = &stop;
  options.threads = 1;
  options.progress = [&](std::int64_t done, std::int64_t of) { stop = done == of; };  // all judged, none simulated
  const Problem problem = job(kSmallSpaces[0]);
  const SearchResult found = search(problem, options);
  CHECK(found.stopped_early);
  CHECK(found.simulated == 1);
  REQUIRE(found.plans.size() == 1);
  CHECK(found.cut_by_bound == 0);
  std::int64_t rejected = 0;
  for (const std::int64_t n : found.rejected) rejected += n;
  CHECK(found.left_out == found.considered - rejected - 1);
  // Judging all plans by hand: none has a bound below that of the one that was simulated.
  Judge judge(problem);
  const Picoseconds bound = judge.judge(found.plans[0].plan).bound;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    const Judgement j = judge.judge(plan);
    if (!j.rejection) CHECK(j.bound >= bound);
  });
}

TEST_CASE("the bound cuts most of a space that it knows well") {
  SearchOptions options;
  options.threads = 1;
  const SearchResult found = search(job(kSmallSpaces[8]), options);  // CUDA graphs: nothing but the GPU sets the pace
  CHECK(found.cut_by_bound > 3 * found.simulated);
}
