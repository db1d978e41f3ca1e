/// Fits a CorrectionSurface to measured ratios: robust, no more flexible than the rows bear, the same for the same
/// rows.
#pragma once

#include <string>
#include <vector>

#include "hwmodels/correction_surface.h"

namespace foretrain {

/// One measured row of a family: where it lies and log(measured / predicted).
struct RatioAt {
  ShapePoint at{};
  double log_ratio = 0;
};

/// A surface through `rows`, and how many of them pulled less because they lie far off.
///
///     1  Rows in one cell of a grid (1/16 octave, coarser until at most 256 cells are left) become one point: the
///        median of their ratios at the mean of their places, weight sqrt(rows).
///     2  Candidates: no correction; a constant; a linear and a quadratic trend; constant and linear ones with a kernel
///        regression of what they leave, of width 1, 2 or 4 octaves and noise 0.3, 1 or 3 times the signal. Trends are
///        ridge regressions with Huber's loss (bend at 1.5 robust standard deviations, at least 0.01); the regression
///        takes what they leave, cut at three of them.
///     3  Five-fold cross-validation over points (folds by a hash of the place): least mean |error|, each cut at 0.3.
///        A candidate with more freedom must be better by 2 %.
///
/// Few rows, or rows that agree with the model, so leave it as it is.
struct SurfaceFit {
  CorrectionSurface surface;
  std::int64_t outliers = 0;
};
SurfaceFit fit_surface(const std::vector<RatioAt>& rows, const std::vector<std::string>& axes);

/// A number that depends on the text alone (FNV-1a, 64 bits, mixed): to choose rows without a random generator.
std::uint64_t hash_of(std::string_view text);

}  // namespace foretrain
