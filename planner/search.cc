#include "planner/search.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "planner/judge.h"
#include "planner/long_step.h"
#include "planner/plan_space.h"

namespace foretrain {
namespace {

/// Plans simulated between two looks at the best so far. Fixed, so that what is cut does not depend on the threads.
constexpr std::size_t kBatch = 16;

struct Candidate {
  Picoseconds time;        ///< bound, later the simulated step
  std::int64_t order = 0;  ///< place in the plan space
  PackedPlan plan;
};
bool earlier(const Candidate& a, const Candidate& b) { return a.time != b.time ? a.time < b.time : a.order < b.order; }

/// What one group of the plan space gave.
struct GroupResult {
  std::int64_t considered = 0;
  std::array<std::int64_t, kRejectionNames.size()> rejected{};
  std::vector<Candidate> candidates;
  std::optional<PackedPlan> nearest_miss;
  double least_excess = 0;
};

GroupResult judge_group(const PlanSpace& space, std::size_t group, Judge& judge, const std::atomic<bool>* stop) {
  GroupResult r;
  space.visit_group(group, [&](const Plan& plan) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return;
    const std::int64_t order = r.considered++;
    const Judgement j = judge.judge(plan);
    if (!j.rejection) {
      r.candidates.push_back({j.bound, order, space.pack(plan)});
      return;
    }
    ++r.rejected[static_cast<std::size_t>(j.rejection->reason)];
    if (j.rejection->reason == RejectionReason::memory && (!r.nearest_miss || j.rejection->excess < r.least_excess)) {
      r.nearest_miss = space.pack(plan);
      r.least_excess = j.rejection->excess;
    }
  });
  return r;
}

/// Runs work(0) .. work(count - 1) on `threads` threads; work(i) may be called by any, in any order.
template <class Work>
void run_parallel(std::size_t count, std::size_t threads, Work work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto loop = [&](std::size_t thread) {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i, thread);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> pool;
    for (std::size_t t = 1; t < threads; ++t) pool.emplace_back(loop, t);
    loop(0);
  }
  if (failure) std::rethrow_exception(failure);
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
      groups[i] = judge_group(space_, i, *judges_[thread], options_.stop);
      const std::size_t finished = ++done;
      if (thread == 0 && options_.progress)
        options_.progress(static_cast<std::int64_t>(finished), static_cast<std::int64_t>(groups.size()));
    });
    std::optional<PackedPlan> miss;
    double least = 0;
    for (const GroupResult& g : groups) {
      for (Candidate c : g.candidates) {
        c.order += result_.considered;
        candidates_.push_back(c);
      }
      result_.considered += g.considered;
      for (std::size_t i = 0; i < g.rejected.size(); ++i) result_.rejected[i] += g.rejected[i];
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
      c.time = std::max(c.time, step_time(problem_, plan, judge.costs(plan), judge.moments()));
      done[i] = 1;
    });
    std::vector<Candidate> simulated;
    for (std::size_t i = 0; i < batch.size(); ++i)
      if (done[i] != 0) simulated.push_back(batch[i]);
    return simulated;
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
  std::vector<Candidate> candidates_, best_;
  SearchResult result_;
};

}  // namespace

SearchResult search(const Problem& problem, const SearchOptions& options) { return Search(problem, options).run(); }

}  // namespace foretrain
