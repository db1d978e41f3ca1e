#include "validate/calibrate/surface_fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "validate/calibrate/measurement.h"

namespace foretrain {
namespace {

constexpr std::size_t kMostPoints = 256;
constexpr double kFinestCell = 1.0 / 16;
constexpr int kFolds = 5;
constexpr double kBend = 1.5, kCut = 3, kLeastSpread = 0.01;
constexpr double kMostError = 0.3;
/// A richer candidate must be better by this.
constexpr double kBetterBy = 0.98;
/// Ridge of the trend, in points: slopes that fewer bear are pulled to 0. A constant is pulled half a point's worth.
constexpr double kRidge = 3, kConstantRidge = 0.5;
constexpr int kRounds = 8;

/// A measured place.
struct Place {
  ShapePoint at{};
  double ratio = 0;  ///< log(measured / predicted)
  double weight = 1;
};

/// How flexible a candidate is. `order` -1: no correction; width 0: the trend alone.
struct Candidate {
  int order;
  double width, noise;
};
// In order of freedom.
constexpr Candidate kCandidates[] = {{-1, 0, 0},  {0, 0, 0},   {1, 0, 0},   {0, 4, 3},   {0, 4, 1},
                                     {1, 4, 1},   {0, 2, 3},   {0, 4, 0.3}, {0, 2, 1},   {1, 2, 1},
                                     {0, 4, 0.1}, {0, 2, 0.3}, {1, 2, 0.3}, {0, 2, 0.1}, {0, 1, 1},
                                     {0, 1, 0.3}, {0, 1, 0.1}, {1, 1, 0.3}, {2, 0, 0}};

double round_to(double value, double step) { return std::round(value / step) * step; }
/// As files keep it.
double kept(double value) { return std::round(value * 1e5) / 1e5; }

/// The median; of two in the middle their mean, so that a tie of two rows favours neither.
double middle_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

/// Rows that share a cell, as one place.
std::vector<Place> cells_of(const std::vector<RatioAt>& rows, std::size_t axes) {
  for (double cell = kFinestCell;; cell *= 2) {
    std::map<ShapePoint, std::vector<std::size_t>> members;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ShapePoint key{};
      for (std::size_t j = 0; j < axes; ++j) key[j] = round_to(rows[i].at[j], cell);
      members[key].push_back(i);
    }
    if (members.size() > kMostPoints && cell < 64) continue;
    std::vector<Place> points;
    for (const auto& entry : members) {
      const std::vector<std::size_t>& indices = entry.second;
      const double count = static_cast<double>(indices.size());
      Place p{.at = {}, .ratio = 0, .weight = std::sqrt(count)};
      std::vector<double> ratios;
      for (const std::size_t i : indices) {
        ratios.push_back(rows[i].log_ratio);
        for (std::size_t j = 0; j < axes; ++j) p.at[j] += rows[i].at[j] / count;
      }
      p.ratio = middle_of(std::move(ratios));
      points.push_back(p);
    }
    return points;
  }
}

double robust_spread(const std::vector<double>& errors) {
  std::vector<double> sizes;
  for (const double e : errors) sizes.push_back(std::abs(e));
  return std::max(kLeastSpread, 1.4826 * median_of(sizes));  // 1.4826: of a normal distribution's median deviation
}

/// Solves the symmetric positive system a x = b [n x n] by Cholesky's method. Updates whole rows of what is left, so
/// that the inner loop is one a compiler makes vector instructions of without changing any sum.
std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {  // row k of the upper factor
    double* row = a.data() + k * n;
    const double root = std::sqrt(std::max(row[k], 1e-12));
    for (std::size_t i = k; i < n; ++i) row[i] /= root;
    for (std::size_t j = k + 1; j < n; ++j) {
      double* other = a.data() + j * n;
      const double factor = row[j];
      for (std::size_t i = j; i < n; ++i) other[i] -= factor * row[i];
    }
  }
  for (std::size_t k = 0; k < n; ++k) {
    b[k] /= a[k * n + k];
    for (std::size_t i = k + 1; i < n; ++i) b[i] -= a[k * n + i] * b[k];
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t i = k + 1; i < n; ++i) b[k] -= a[k * n + i] * b[i];
    b[k] /= a[k * n + k];
  }
  return b;
}

/// Huber's ridge regression of the points' ratios.
std::vector<double> fit_trend(const std::vector<const Place*>& points, const ShapePoint& centre, std::size_t axes,
                              int order) {
  if (order < 0 || points.empty()) return {};
  const std::size_t terms = trend_terms(axes, order);
  std::vector<std::vector<double>> basis(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    ShapePoint offset{};
    for (std::size_t j = 0; j < axes; ++j) offset[j] = points[i]->at[j] - centre[j];
    trend_basis(offset, axes, order, basis[i]);
  }
  std::vector<double> c(terms, 0.0), errors(points.size());
  std::vector<double> pulls(points.size(), 1.0);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> a(terms * terms, 0.0), b(terms, 0.0);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double w = points[i]->weight * pulls[i];
      for (std::size_t p = 0; p < terms; ++p) {
        b[p] += w * basis[i][p] * points[i]->ratio;
        for (std::size_t q = p; q < terms; ++q) a[p * terms + q] += w * basis[i][p] * basis[i][q];
      }
    }
    for (std::size_t p = 0; p < terms; ++p) a[p * terms + p] += p == 0 ? kConstantRidge : kRidge;
    c = solve(std::move(a), std::move(b));
    for (std::size_t i = 0; i < points.size(); ++i) {
      errors[i] = points[i]->ratio;
      for (std::size_t p = 0; p < terms; ++p) errors[i] -= c[p] * basis[i][p];
    }
    const double bend = kBend * robust_spread(errors);
    for (std::size_t i = 0; i < points.size(); ++i)
      pulls[i] = std::abs(errors[i]) <= bend ? 1 : bend / std::abs(errors[i]);
  }
  return c;
}

struct Shape {
  std::vector<CorrectionSurface::Axis> axes;
  ShapePoint centre{};
};

/// Heights a of the points with sum_j a_j closeness(i, j) + noise / weight_i a_i = rests_i.
std::vector<double> kernel_regression(const std::vector<const Place*>& points, std::size_t axes,
                                      const std::vector<double>& rests, const Candidate& candidate) {
  const std::size_t n = points.size();
  std::vector<double> a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = i; k < n; ++k) {
      double distance = 0;
      for (std::size_t j = 0; j < axes; ++j) {
        const double d = points[i]->at[j] - points[k]->at[j];
        distance += d * d;
      }
      a[i * n + k] = closeness(distance / (candidate.width * candidate.width));
    }
    a[i * n + i] += candidate.noise / points[i]->weight;
  }
  return solve(std::move(a), rests);
}

CorrectionSurface surface_of(const std::vector<const Place*>& points, const Shape& shape, const Candidate& candidate,
                             std::int64_t* outliers) {
  CorrectionSurface::Parts parts{
      .axes = shape.axes, .centre = shape.centre, .trend = {}, .width = candidate.width, .points = {}};
  const std::size_t axes = shape.axes.size();
  for (const double c : fit_trend(points, shape.centre, axes, candidate.order)) parts.trend.push_back(kept(c));
  const CorrectionSurface trend(parts);
  std::vector<double> rests;
  for (const Place* p : points) rests.push_back(p->ratio - trend.trend_at(p->at));
  const double cut = rests.empty() ? 0 : kCut * robust_spread(rests);
  for (double& rest : rests) {
    if (outliers != nullptr && std::abs(rest) > cut) ++*outliers;
    rest = std::clamp(rest, -cut, cut);
  }
  std::vector<double> heights(points.size(), 0.0);
  if (candidate.width > 0) heights = kernel_regression(points, axes, rests, candidate);
  for (std::size_t i = 0; i < points.size(); ++i) {
    CorrectionSurface::Point p{.at = {}, .height = kept(heights[i])};
    for (std::size_t j = 0; j < axes; ++j) p.at[j] = kept(points[i]->at[j]);
    parts.points.push_back(p);
  }
  return CorrectionSurface(std::move(parts));
}

double cross_validated(const std::vector<Place>& points, const std::vector<int>& folds, const Shape& shape,
                       const Candidate& candidate) {
  double sum = 0, weights = 0;
  for (int fold = 0; fold < kFolds; ++fold) {
    std::vector<const Place*> others;
    for (std::size_t i = 0; i < points.size(); ++i)
      if (folds[i] != fold) others.push_back(&points[i]);
    if (others.size() == points.size()) continue;
    const CorrectionSurface surface = surface_of(others, shape, candidate, nullptr);
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (folds[i] != fold) continue;
      const double error = std::abs(points[i].ratio - surface.at(points[i].at).log_ratio);
      sum += points[i].weight * std::min(error, kMostError);
      weights += points[i].weight;
    }
  }
  return weights > 0 ? sum / weights : 0;
}

int fold_of(const Place& p) {
  std::string text;
  for (const double x : p.at) text += fmt::format("{:.4f} ", x);
  return static_cast<int>(hash_of(text) % kFolds);
}

}  // namespace

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  hash ^= hash >> 33U;  // MurmurHash3's last mix: low bits depend on all
  hash *= 0xff51afd7ed558ccdU;
  hash ^= hash >> 33U;
  hash *= 0xc4ceb9fe1a85ec53U;
  return hash ^ hash >> 33U;
}

SurfaceFit fit_surface(const std::vector<RatioAt>& rows, const std::vector<std::string>& axis_names) {
  const std::size_t axes = axis_names.size();
  FORETRAIN_CHECK(!rows.empty() && axes <= kMostAxes);
  const std::vector<Place> points = cells_of(rows, axes);
  Shape shape;
  for (std::size_t j = 0; j < axes; ++j) {
    CorrectionSurface::Axis axis{axis_names[j], rows[0].at[j], rows[0].at[j]};
    double sum = 0;
    for (const RatioAt& row : rows) {
      axis.least = std::min(axis.least, row.at[j]);
      axis.most = std::max(axis.most, row.at[j]);
      sum += row.at[j];
    }
    axis.least = std::floor(axis.least * 1e5) / 1e5;
    axis.most = std::ceil(axis.most * 1e5) / 1e5;
    shape.axes.push_back(axis);
    shape.centre[j] = kept(sum / static_cast<double>(rows.size()));
  }
  std::vector<int> folds;
  for (const Place& p : points) folds.push_back(fold_of(p));
  const Candidate* best = &kCandidates[0];
  double least = -1;
  for (const Candidate& candidate : kCandidates) {
    // A trend needs points enough to be cross-validated at all.
    if (candidate.order >= 1 && points.size() < 3 * trend_terms(axes, candidate.order) / 2) continue;
    const double error = cross_validated(points, folds, shape, candidate);
    if (least >= 0 && !(error < kBetterBy * least)) continue;
    least = error;
    best = &candidate;
  }
  std::vector<const Place*> all;
  for (const Place& p : points) all.push_back(&p);
  // One or two points cannot be cross-validated: their mean, pulled to no correction, is all that they say.
  constexpr Candidate kConstant = {0, 0, 0};
  if (points.size() < 3) best = &kConstant;
  SurfaceFit fit;
  fit.surface = surface_of(all, shape, *best, &fit.outliers);
  return fit;
}

}  // namespace foretrain
