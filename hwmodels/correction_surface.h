/// A smooth correction of a model's logarithm over the logarithms of a shape, and where it was measured.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace foretrain {

inline constexpr std::size_t kMostAxes = 8;
/// A place in the space of shapes: one coordinate an axis, in octaves (log2), scaled so that a step of 1 matters alike.
using ShapePoint = std::array<double, kMostAxes>;

/// log(measured / predicted) as a function of the place x [axes]:
///
///     y(x) = trend(x) + sum_i a_i / (1 + |x - x_i|^2 / width^2)^2
///     trend(x) = c_0 + sum_j c_j (x_j - centre_j) + sum_(j<=k) c_jk (x_j - centre_j) (x_k - centre_k)
///
/// x_i are the measured places. Far from all of them the trend holds. Before that, x is moved to the nearest place of
/// the measured box (`least` to `most`), so that outside of it the correction is the one at its border. Derivation:
/// docs/models/calibration.md.
class CorrectionSurface {
 public:
  struct Axis {
    std::string name;  ///< "log2 m"
    double least = 0, most = 0;
  };
  struct Point {
    ShapePoint at{};
    double height = 0;  ///< a_i
  };
  /// Everything that a file keeps. `trend`: c_0, then c_j, then (or not) c_jk row by row; empty is 0. width 0: points
  /// only say where was measured.
  struct Parts {
    std::vector<Axis> axes;  ///< at most kMostAxes
    ShapePoint centre{};
    std::vector<double> trend;
    double width = 0;
    std::vector<Point> points;
  };

  CorrectionSurface() = default;
  /// Needs at most kMostAxes axes, and a trend of 0, 1, 1 + axes, or 1 + axes + axes (axes + 1) / 2 numbers.
  explicit CorrectionSurface(Parts parts);

  struct Value {
    double log_ratio = 0;
    bool outside = false;  ///< x lay outside of the box, or farther than kReach from every measured place
  };
  [[nodiscard]] Value at(const ShapePoint& x) const;
  [[nodiscard]] const Parts& parts() const { return parts_; }

  /// The trend alone.
  [[nodiscard]] double trend_at(const ShapePoint& x) const;

  /// Places farther than this (octaves) from all measured ones count as outside, though the box holds them.
  static constexpr double kReach = 3;
  /// A shape this little outside of the box (octaves) is a rounding, not an extrapolation.
  static constexpr double kEdge = 0.02;

 private:
  Parts parts_;
  std::vector<double> coordinates_;  // [axis][point], so that the loop over points is a plain one
  std::vector<double> heights_;      // [point]
};

/// What a point adds at a squared distance, in units of the width: 1 at the point, 1/4 at its width, and positive
/// definite in any number of axes (an inverse multiquadric).
constexpr double closeness(double squared_distance) { return 1 / ((1 + squared_distance) * (1 + squared_distance)); }

/// How many numbers the trend of `axes` axes has: constant, linear, quadratic for order 0, 1, 2.
constexpr std::size_t trend_terms(std::size_t axes, int order) {
  return order == 0 ? 1 : order == 1 ? 1 + axes : 1 + axes + axes * (axes + 1) / 2;
}
/// The numbers that the trend's terms are multiplied with, at `x` less the centre.
void trend_basis(const ShapePoint& offset, std::size_t axes, int order, std::vector<double>& basis);

}  // namespace foretrain
