#include "planner/trade_off.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>
#include <unordered_map>

#include "planner/judge.h"
#include "planner/long_step.h"
#include "planner/plan_space.h"
#include "planner/run_parallel.h"

namespace foretrain {
namespace {

constexpr std::int64_t kColumns = 120, kRows = 40;  // of the grid; two classes of plans make 9,600 cells at most
constexpr std::int64_t kMostAlone = 1000;           // simulated plans that are drawn by themselves all the same

/// Fitting plans, least memory first; of equal ones the fastest first.
std::vector<std::size_t> by_memory(const std::vector<JudgedPlan>& judged) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < judged.size(); ++i)
    if (judged[i].fits) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (judged[a].peak != judged[b].peak) return judged[a].peak < judged[b].peak;
    return a < b;
  });
  return order;
}

/// Plans faster than all with as little memory or less, least memory first. Of plans with equal memory only the
/// fastest, the first of equals.
std::vector<std::size_t> front_of(const std::vector<JudgedPlan>& judged, const std::vector<std::size_t>& order) {
  std::vector<std::size_t> front;
  Picoseconds fastest{std::numeric_limits<std::int64_t>::max()};
  for (const std::size_t i : order) {
    if (judged[i].time >= fastest) continue;
    fastest = judged[i].time;
    if (!front.empty() && judged[front.back()].peak == judged[i].peak) front.pop_back();
    front.push_back(i);
  }
  return front;
}

/// Simulates plans of the front until it holds simulated ones only, and gives it. Plans it may not simulate any more
/// are left out of it; then `complete` is false.
std::vector<std::size_t> simulated_front(const Problem& problem, const PlanSpace& space,
                                         std::vector<JudgedPlan>& judged, const TradeOffOptions& options,
                                         bool& complete) {
  const std::size_t threads = options.threads > 0 ? static_cast<std::size_t>(std::min(options.threads, 1024))
                                                  : std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::unique_ptr<Judge>> judges;
  for (std::size_t t = 0; t < threads; ++t) judges.push_back(std::make_unique<Judge>(problem));
  std::vector<std::size_t> order = by_memory(judged);
  std::int64_t left = options.most_front_simulated;
  complete = true;
  while (true) {
    std::vector<std::size_t> front = front_of(judged, order), unknown;
    for (const std::size_t i : front)
      if (!judged[i].simulated) unknown.push_back(i);
    if (unknown.empty()) return front;
    if (left == 0) {
      complete = false;
      std::erase_if(order, [&](std::size_t i) { return !judged[i].simulated; });
      continue;
    }
    if (unknown.size() > static_cast<std::size_t>(left)) unknown.resize(static_cast<std::size_t>(left));
    left -= static_cast<std::int64_t>(unknown.size());
    run_parallel(unknown.size(), threads, [&](std::size_t i, std::size_t thread) {
      JudgedPlan& j = judged[unknown[i]];
      const Plan plan = space.unpack(j.plan);
      Judge& judge = *judges[thread];
      j.time = std::max(j.time, judge.step_time(plan));
      j.simulated = true;
    });
  }
}

/// Cells of equal ratio of time and equal difference of memory; what lies beyond the chart falls into those at its
/// edge.
class Grid {
 public:
  Grid(Seconds fastest, Seconds slowest, Bytes most)
      : fastest_(fastest.base()), log_range_(std::log(slowest / fastest)), most_(most.base()) {}

  [[nodiscard]] std::int64_t cell(const JudgedPlan& j) const {
    const double x = log_range_ > 0 ? std::log(to_seconds(j.time).base() / fastest_) / log_range_ : 0;
    const double y = static_cast<double>(j.peak) / most_;
    const auto place = [](double share, std::int64_t cells) {
      return std::clamp(static_cast<std::int64_t>(share * static_cast<double>(cells)), std::int64_t{0}, cells - 1);
    };
    return (place(x, kColumns) * kRows + place(y, kRows)) * 2 + (j.fits ? 1 : 0);
  }

 private:
  double fastest_, log_range_, most_;
};

}  // namespace

TradeOff trade_off(const Problem& problem, std::vector<JudgedPlan> judged, const TradeOffOptions& options) {
  TradeOff t;
  if (judged.empty()) return t;
  const PlanSpace space(problem);
  std::vector<std::size_t> front = simulated_front(problem, space, judged, options, t.front_complete);
  std::vector<char> on_front(judged.size(), 0);
  for (const std::size_t i : front) on_front[i] = 1;
  std::vector<std::size_t> order(judged.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return judged[a].time != judged[b].time ? judged[a].time < judged[b].time : a < b;
  });
  t.fastest = to_seconds(judged[order.front()].time);
  t.slowest = min(to_seconds(judged[order.back()].time), kTimeRange * t.fastest);
  t.binned = judged.size() > options.most_points;
  const Grid grid(t.fastest, t.slowest, kMemoryRange * memory_limit(problem.cluster.gpu));
  std::unordered_map<std::int64_t, std::size_t> point_of_cell;  // looked up only: its order reaches no result
  std::int64_t alone = 0;
  for (const std::size_t i : order) {
    const JudgedPlan& j = judged[i];
    ++(j.fits ? t.fitting : t.too_big);
    if (t.binned && on_front[i] == 0 && !(j.simulated && alone++ < kMostAlone)) {
      const auto [known, is_new] = point_of_cell.try_emplace(grid.cell(j), t.points.size());
      if (!is_new) {
        ++t.points[known->second].plans;
        continue;
      }
    }
    if (on_front[i] != 0) t.front.push_back(t.points.size());
    t.points.push_back({.step = to_seconds(j.time),
                        .peak = static_cast<double>(j.peak) * bytes,
                        .plan = space.unpack(j.plan),
                        .simulated = j.simulated,
                        .fits = j.fits});
  }
  return t;
}

}  // namespace foretrain
