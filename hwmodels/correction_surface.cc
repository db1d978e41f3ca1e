#include "hwmodels/correction_surface.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace foretrain {

void trend_basis(const ShapePoint& offset, std::size_t axes, int order, std::vector<double>& basis) {
  basis.assign(1, 1.0);
  if (order >= 1) basis.insert(basis.end(), offset.begin(), offset.begin() + static_cast<std::ptrdiff_t>(axes));
  if (order < 2) return;
  for (std::size_t j = 0; j < axes; ++j)
    for (std::size_t k = j; k < axes; ++k) basis.push_back(offset[j] * offset[k]);
}

CorrectionSurface::CorrectionSurface(Parts parts) : parts_(std::move(parts)) {
  const std::size_t axes = parts_.axes.size(), terms = parts_.trend.size();
  FORETRAIN_CHECK(axes <= kMostAxes);
  FORETRAIN_CHECK(terms == 0 || terms == trend_terms(axes, 0) || terms == trend_terms(axes, 1) ||
                  terms == trend_terms(axes, 2));
  for (const Point& point : parts_.points) heights_.push_back(point.height);
  coordinates_.resize(axes * parts_.points.size());
  for (std::size_t j = 0; j < axes; ++j)
    for (std::size_t i = 0; i < parts_.points.size(); ++i)
      coordinates_[j * parts_.points.size() + i] = parts_.points[i].at[j];
}

double CorrectionSurface::trend_at(const ShapePoint& x) const {
  const std::size_t axes = parts_.axes.size();
  const std::vector<double>& c = parts_.trend;
  if (c.empty()) return 0;
  double y = c[0];
  if (c.size() == 1) return y;
  ShapePoint offset{};
  for (std::size_t j = 0; j < axes; ++j) {
    offset[j] = x[j] - parts_.centre[j];
    y += c[1 + j] * offset[j];
  }
  if (c.size() == 1 + axes) return y;
  std::size_t term = 1 + axes;
  for (std::size_t j = 0; j < axes; ++j)
    for (std::size_t k = j; k < axes; ++k) y += c[term++] * offset[j] * offset[k];
  return y;
}

CorrectionSurface::Value CorrectionSurface::at(const ShapePoint& place) const {
  const std::size_t axes = parts_.axes.size(), points = parts_.points.size();
  Value value;
  ShapePoint x = place;
  for (std::size_t j = 0; j < axes; ++j) {
    const Axis& axis = parts_.axes[j];
    value.outside = value.outside || x[j] < axis.least - kEdge || x[j] > axis.most + kEdge;
    x[j] = std::clamp(x[j], axis.least, axis.most);
  }
  value.log_ratio = trend_at(x);
  if (points == 0) return value;
  // Blocks of points keep distances in registers and let the compiler use vector instructions; the sums stay in order.
  constexpr std::size_t kBlock = 64;
  const double inverse = parts_.width > 0 ? 1 / (parts_.width * parts_.width) : 0;
  double nearest = kReach * kReach + 1;
  for (std::size_t first = 0; first < points; first += kBlock) {
    const std::size_t count = std::min(kBlock, points - first);
    std::array<double, kBlock> distance{};
    for (std::size_t j = 0; j < axes; ++j) {
      const double* coordinate = coordinates_.data() + j * points + first;
      for (std::size_t i = 0; i < count; ++i) {
        const double d = x[j] - coordinate[i];
        distance[i] += d * d;
      }
    }
    for (std::size_t i = 0; i < count; ++i) nearest = std::min(nearest, distance[i]);
    if (parts_.width <= 0) continue;
    for (std::size_t i = 0; i < count; ++i) distance[i] = closeness(distance[i] * inverse) * heights_[first + i];
    for (std::size_t i = 0; i < count; ++i) value.log_ratio += distance[i];
  }
  value.outside = value.outside || nearest > kReach * kReach;
  return value;
}

}  // namespace foretrain
