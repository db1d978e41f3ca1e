/// A minimiser for a handful of parameters and a loss without derivatives (Nelder and Mead 1965).
#pragma once

#include <functional>
#include <vector>

namespace foretrain {

struct SimplexOptions {
  double step = 0.2;       ///< edge of the first simplex, in each coordinate
  int evaluations = 2000;  ///< at most, in all
  int restarts = 3;        ///< new simplices about the best point, each of half the edge of the last
};

/// The point with the least `loss` found from `start`, the same for the same input. Deterministic; no bounds: map the
/// coordinates (log, logit) so that every real number is allowed.
std::vector<double> minimise(const std::function<double(const std::vector<double>&)>& loss, std::vector<double> start,
                             const SimplexOptions& options = {});

}  // namespace foretrain
