// Time against memory, against brute force: every plan of a space evaluated in full.
#include "planner/trade_off.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// Memory refuses a part: Llama-3.1-8B on eight 32 GB V100s.
constexpr std::string_view kTightSpace =
    R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-2h", "gpus": 8},
        "training": {"sequence_length": 2048, "global_batch": 16, "precision": "fp16"},
        "search": {"micro_batch": [1, 2], "tensor": [1, 2, 4, 8], "pipeline": [1, 2, 4, 8], "virtual_pipeline": 1}})";

using TimeAndMemory = std::pair<Seconds, Bytes>;

/// Pairs of the fitting plans that no other one beats or equals in one and beats in the other, fastest first.
std::vector<TimeAndMemory> true_front(const Problem& problem) {
  std::vector<TimeAndMemory> all, front;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    const PlanReport r = evaluate(problem, plan);
    if (!r.rejection) all.emplace_back(r.step, r.peak_memory);
  });
  for (const auto& a : all) {
    const bool beaten = std::any_of(all.begin(), all.end(), [&](const TimeAndMemory& b) {
      return b.first <= a.first && b.second <= a.second && b != a;
    });
    if (!beaten && std::find(front.begin(), front.end(), a) == front.end()) front.push_back(a);
  }
  std::sort(front.begin(), front.end());
  return front;
}

std::vector<TimeAndMemory> front_of(const TradeOff& t) {
  std::vector<TimeAndMemory> front;
  for (const std::size_t i : t.front) front.emplace_back(t.points[i].step, t.points[i].peak);
  return front;
}

SearchResult search_all(const Problem& problem, std::int32_t threads = 2) {
  SearchOptions options;
  options.top = 1;
  options.threads = threads;
  options.keep_judged = true;
  return search(problem, options);
}

std::int64_t plans_in(const TradeOff& t) {
  std::int64_t plans = 0;
  for (const TradeOffPoint& p : t.points) plans += p.plans;
  return plans;
}

}  // namespace

TEST_CASE("the front is that of all plans simulated, though most are not") {
  std::vector<std::string_view> spaces(kSmallSpaces.begin(), kSmallSpaces.end());
  spaces.push_back(kTightSpace);
  for (const std::string_view text : spaces) {
    CAPTURE(text);
    const Problem problem = job(text);
    const TradeOff t = trade_off(problem, search_all(problem).judged);
    CHECK(t.front_complete);
    CHECK(front_of(t) == true_front(problem));
    for (const std::size_t i : t.front) CHECK((t.points[i].simulated && t.points[i].fits));
  }
}

TEST_CASE("a search that keeps what it judged gives the same plans, and the memory of those that do not fit") {
  const Problem problem = job(kTightSpace);
  const SearchResult kept = search_all(problem);
  SearchOptions options;
  options.top = 1;
  const SearchResult plain = search(problem, options);
  CHECK(plain.judged.empty());
  CHECK(kept.plans.front().plan == plain.plans.front().plan);
  CHECK(kept.simulated == plain.simulated);
  CHECK(kept.rejected == plain.rejected);
  const PlanSpace space(problem);
  std::int64_t fitting = 0, too_big = 0;
  for (const JudgedPlan& j : kept.judged) {
    ++(j.fits ? fitting : too_big);
    const PlanReport r = evaluate(problem, space.unpack(j.plan), {.even_if_too_big = true});
    CHECK(static_cast<double>(j.peak) == r.peak_memory.base());
    CHECK(j.fits == !r.rejection.has_value());
    CHECK(to_seconds(j.time) <= r.step);
    if (j.simulated) CHECK(to_seconds(j.time) == r.step);
  }
  CHECK(fitting == kept.simulated + kept.cut_by_bound);
  CHECK(too_big == kept.rejected[static_cast<std::size_t>(RejectionReason::memory)]);
  CHECK(too_big > 0);
}

TEST_CASE("few points stand for all plans, and threads change nothing") {
  const Problem problem = job(kTightSpace);
  const std::vector<JudgedPlan> judged = search_all(problem).judged;
  const TradeOff whole = trade_off(problem, judged, {.threads = 1});
  CHECK_FALSE(whole.binned);
  CHECK(whole.points.size() == judged.size());
  const TradeOff few = trade_off(problem, judged, {.threads = 3, .most_points = 10});
  CHECK(few.binned);
  CHECK(few.points.size() < judged.size());
  CHECK(plans_in(few) == static_cast<std::int64_t>(judged.size()));
  CHECK(few.fitting == whole.fitting);
  CHECK(few.too_big == whole.too_big);
  CHECK(front_of(few) == front_of(whole));
}

TEST_CASE("a front that may not be searched to the end holds simulated plans only, and says so") {
  const Problem problem = job(kTightSpace);
  const TradeOff t = trade_off(problem, search_all(problem).judged, {.most_front_simulated = 0});
  CHECK_FALSE(t.front_complete);
  REQUIRE(!t.front.empty());
  for (const std::size_t i : t.front) CHECK(t.points[i].simulated);
  // The plan that the search found best is on any front.
  CHECK(t.points[t.front.front()].step == true_front(problem).front().first);
}

TEST_CASE("where nothing was judged there is nothing to draw") {
  const TradeOff t = trade_off(job(kTightSpace), {});
  CHECK(t.points.empty());
  CHECK(t.front.empty());
}
