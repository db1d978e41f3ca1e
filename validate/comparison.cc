#include "validate/comparison.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

namespace foretrain {
namespace {

/// Nearest rank: the smallest of `sorted` that at least `share` of them do not exceed. `sorted` is not empty.
double quantile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

/// Ranks 1..n; equal values share the mean of their ranks.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> rank(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    const double mean = 0.5 * static_cast<double>(i + 1 + j);
    for (; i < j; ++i) rank[order[i]] = mean;
  }
  return rank;
}

/// Pearson's correlation; 0 where one side does not vary.
double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n,
               mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0.0;
}

}  // namespace

double error_of(const ComparisonRow& row) { return (row.predicted - row.measured) / row.measured; }

ErrorSummary summarise(const std::vector<ComparisonRow>& rows) {
  ErrorSummary s;
  if (rows.empty()) return s;
  std::vector<double> ape, predicted, measured;
  double barred = 0, inside = 0;
  for (const ComparisonRow& row : rows) {
    const double error = error_of(row);
    s.bias += error;
    ape.push_back(std::abs(error));
    predicted.push_back(row.predicted);
    measured.push_back(row.measured);
    if (row.high <= 0) continue;
    barred += 1;
    if (row.low <= row.measured && row.measured <= row.high) inside += 1;
  }
  if (barred > 0) s.inside_interval = inside / barred;
  const double n = static_cast<double>(rows.size());
  std::sort(ape.begin(), ape.end());
  s.count = static_cast<std::int64_t>(rows.size());
  s.bias /= n;
  s.mape = std::accumulate(ape.begin(), ape.end(), 0.0) / n;
  s.median_ape = quantile(ape, 0.5);
  s.p90_ape = quantile(ape, 0.9);
  s.max_ape = ape.back();
  s.within_10_percent = static_cast<double>(std::upper_bound(ape.begin(), ape.end(), 0.1) - ape.begin()) / n;
  if (rows.size() > 1) s.spearman = correlation(ranks(predicted), ranks(measured));
  return s;
}

std::map<std::string, QuantitySummary> summarise_by_quantity(const std::vector<ComparisonRow>& rows) {
  std::map<std::string, std::vector<ComparisonRow>> all;
  std::map<std::string, std::map<std::string, std::vector<ComparisonRow>>> grouped;
  for (const ComparisonRow& row : rows) {
    all[row.quantity].push_back(row);
    for (const std::string& group : row.groups) grouped[row.quantity][group].push_back(row);
  }
  std::map<std::string, QuantitySummary> summary;
  for (const auto& [quantity, members] : all) {
    QuantitySummary& s = summary[quantity];
    s.all = summarise(members);
    for (const auto& [group, part] : grouped[quantity]) s.groups[group] = summarise(part);
  }
  return summary;
}

std::string calibration_group(CalibrationUse use) {
  return "calibration: " + std::string(kCalibrationUseNames[static_cast<std::size_t>(use)]);
}

void append(Comparison& comparison, Comparison more) {
  comparison.rows.insert(comparison.rows.end(), std::make_move_iterator(more.rows.begin()),
                         std::make_move_iterator(more.rows.end()));
  comparison.refused.insert(comparison.refused.end(), std::make_move_iterator(more.refused.begin()),
                            std::make_move_iterator(more.refused.end()));
}

}  // namespace foretrain
