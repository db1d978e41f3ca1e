#include "planner/search.h"

#include <algorithm>
#include <thread>

#include "planner/judge.h"
#include "planner/launch_rules.h"
#include "planner/long_step.h"
#include "planner/run_parallel.h"

namespace foretrain {
namespace {

/// Plans simulated between two looks at the best so far. Fixed, so that what is cut does not depend on the threads.
constexpr std::size_t kBatch = 16;

struct Candidate {
  Picoseconds time;        ///< bound, later the simulated step
  std::int64_t order = 0;  ///< place in the plan space
  std::int64_t peak = 0;   ///< bytes
  PackedPlan plan;
  bool simulated = false;
};
bool earlier(const Candidate& a, const Candidate& b) { return a.time != b.time ? a.time < b.time : a.order < b.order; }

/// What one group of the plan space gave.
struct GroupResult {
  std::int64_t considered = 0;
  std::array<std::int64_t, kRejectionNames.size()> rejected{};
  std::vector<Candidate> candidates, too_big;  ///< too_big: where they are asked for
  std::vector<std::int64_t> rejected_by_launch_rule;
  std::optional<PackedPlan> nearest_miss;
  double least_excess = 0;
};

GroupResult judge_group(const PlanSpace& space, std::size_t group, Judge& judge, const SearchOptions& options) {
  GroupResult r;
  space.visit_group(group, [&](const Plan& plan) {
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) return;
    const std::int64_t order = r.considered++;
    const Judgement j = judge.judge(plan, options.keep_judged);
    if (!j.rejection) {
      r.candidates.push_back({j.bound, order, j.peak, space.pack(plan)});
      return;
    }
    if (options.keep_judged && j.rejection->reason == RejectionReason::memory)
      r.too_big.push_back({j.bound, order, j.peak, space.pack(plan)});
    ++r.rejected[static_cast<std::size_t>(j.rejection->reason)];
    if (j.rejection->launch_rule >= 0) {
      const auto rule = static_cast<std::size_t>(j.rejection->launch_rule);
      if (r.rejected_by_launch_rule.size() <= rule) r.rejected_by_launch_rule.resize(rule + 1);
      ++r.rejected_by_launch_rule[rule];
    }
    if (j.rejection->reason == RejectionReason::memory && (!r.nearest_miss || j.rejection->excess < r.least_excess)) {
      r.nearest_miss = space.pack(plan);
      r.least_excess = j.rejection->excess;
    }
  });
  return r;
}

class Search {
 public:
  Search(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        space_(problem),
        top_(static_cast<std::size_t>(std::max(1, options.top))) {
    threads_ = options.threads > 0 ? static_cast<std::size_t>(std::min(options.threads, 1024))
                                   : std::max(1U, std::thread::hardware_concurrency());
    for (std::size_t t = 0; t < threads_; ++t) judges_.push_back(std::make_unique<Judge>(problem));
  }

  SearchResult run() {
    judge_all();
    simulate_best();
    report_best();
    if (options_.keep_judged) keep_judged();
    if (problem_.residuals != nullptr)
      for (PlanReport& report : result_.plans)
        report.near_best = &report != &result_.plans.front() &&
                           within_noise(*problem_.residuals, report.step, result_.plans.front().step);
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  void judge_all() {
    std::vector<GroupResult> groups(space_.group_count());
    std::atomic<std::size_t> done{0};
    run_parallel(groups.size(), threads_, [&](std::size_t i, std::size_t thread) {
      if (stopped()) return;
      groups[i] = judge_group(space_, i, *judges_[thread], options_);
      if (options_.judged_count != nullptr) *options_.judged_count += groups[i].considered;
      const std::size_t finished = ++done;
      if (thread == 0 && options_.progress)
        options_.progress(static_cast<std::int64_t>(finished), static_cast<std::int64_t>(groups.size()));
    });
    if (problem_.trainer) result_.rejected_by_launch_rule.resize(launch_rules(*problem_.trainer).size());
    std::optional<PackedPlan> miss;
    double least = 0;
    for (const GroupResult& g : groups) {
      for (Candidate c : g.candidates) {
        c.order += result_.considered;
        candidates_.push_back(c);
      }
      too_big_.insert(too_big_.end(), g.too_big.begin(), g.too_big.end());
      result_.considered += g.considered;
      for (std::size_t i = 0; i < g.rejected.size(); ++i) result_.rejected[i] += g.rejected[i];
      for (std::size_t i = 0; i < g.rejected_by_launch_rule.size(); ++i)
        result_.rejected_by_launch_rule[i] += g.rejected_by_launch_rule[i];
      if (g.nearest_miss && (!miss || g.least_excess < least)) {
        miss = g.nearest_miss;
        least = g.least_excess;
      }
    }
    if (miss) result_.nearest_miss = evaluate(problem_, space_.unpack(*miss));
    std::sort(candidates_.begin(), candidates_.end(), earlier);
  }

  void simulate_best() {
    std::size_t next = 0;  // one past the last that was looked at; beyond the end after the last batch
    while (next < candidates_.size()) {
      if (best_.size() == top_ && candidates_[next].time > best_.back().time) break;
      const std::vector<Candidate> batch = simulate_batch(next, std::min(next + kBatch, candidates_.size()));
      next += kBatch;
      result_.simulated += static_cast<std::int64_t>(batch.size());
      best_.insert(best_.end(), batch.begin(), batch.end());
      std::sort(best_.begin(), best_.end(), earlier);
      if (best_.size() > top_) best_.resize(top_);
      if (stopped()) break;
    }
    result_.stopped_early = stopped();
    (result_.stopped_early ? result_.left_out : result_.cut_by_bound) =
        static_cast<std::int64_t>(candidates_.size()) - result_.simulated;
  }

  /// Candidates `from` to `to` with their simulated times. When the search is stopped, those that are done; but one
  /// plan at least: an answer, if not the best one.
  std::vector<Candidate> simulate_batch(std::size_t from, std::size_t to) {
    std::vector<Candidate> batch(candidates_.begin() + static_cast<std::ptrdiff_t>(from),
                                 candidates_.begin() + static_cast<std::ptrdiff_t>(to));
    std::vector<char> done(batch.size(), 0);
    run_parallel(batch.size(), threads_, [&](std::size_t i, std::size_t thread) {
      if (stopped() && from + i > 0) return;
      Candidate& c = batch[i];
      const Plan plan = space_.unpack(c.plan);
      Judge& judge = *judges_[thread];
      // A long step's time is drawn through two shorter ones: the bound holds for it all the same.
      c.time = std::max(c.time, judge.step_time(plan));
      done[i] = 1;
      candidates_[from + i].time = c.time;
      candidates_[from + i].simulated = true;
    });
    std::vector<Candidate> simulated;
    for (std::size_t i = 0; i < batch.size(); ++i)
      if (done[i] != 0) simulated.push_back(batch[i]);
    return simulated;
  }

  void keep_judged() {
    std::sort(candidates_.begin(), candidates_.end(), earlier);
    result_.judged.reserve(candidates_.size() + too_big_.size());
    for (const Candidate& c : candidates_) result_.judged.push_back({c.time, c.peak, c.plan, c.simulated, true});
    for (const Candidate& c : too_big_) result_.judged.push_back({c.time, c.peak, c.plan, false, false});
  }

  /// The reports of the best plans.
  void report_best() {
    result_.plans.resize(best_.size());
    run_parallel(best_.size(), threads_, [&](std::size_t i, std::size_t) {
      result_.plans[i] = evaluate(problem_, space_.unpack(best_[i].plan));
    });
  }

  const Problem& problem_;
  const SearchOptions& options_;
  PlanSpace space_;
  std::size_t top_, threads_ = 1;
  std::vector<std::unique_ptr<Judge>> judges_;
  std::vector<Candidate> candidates_, too_big_, best_;
  SearchResult result_;
};

}  // namespace

SearchResult search(const Problem& problem, const SearchOptions& options) { return Search(problem, options).run(); }

}  // namespace foretrain
