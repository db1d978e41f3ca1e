#include "validate/simplex.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace foretrain {
namespace {

struct Vertex {
  std::vector<double> at;
  double loss;
};

/// a + factor (b - a)
std::vector<double> along(const std::vector<double>& a, const std::vector<double>& b, double factor) {
  std::vector<double> point(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) point[i] = a[i] + factor * (b[i] - a[i]);
  return point;
}

/// Runs one simplex until the evaluations are used up or all corners agree.
Vertex run(const std::function<double(const std::vector<double>&)>& loss, const Vertex& start, double step,
           int evaluations) {
  const std::size_t n = start.at.size();
  std::vector<Vertex> simplex = {start};
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> corner = start.at;
    corner[i] += step;
    const double value = loss(corner);
    simplex.push_back({std::move(corner), value});
  }
  const auto by_loss = [](const Vertex& a, const Vertex& b) { return a.loss < b.loss; };
  for (int used = static_cast<int>(n); used < evaluations;) {
    std::stable_sort(simplex.begin(), simplex.end(), by_loss);
    if (simplex.back().loss - simplex.front().loss < 1e-9) break;
    std::vector<double> centre(n, 0.0);
    for (std::size_t v = 0; v < n; ++v) {
      for (std::size_t i = 0; i < n; ++i) centre[i] += simplex[v].at[i] / static_cast<double>(n);
    }
    Vertex& worst = simplex.back();
    const auto try_at = [&](double factor) {
      std::vector<double> point = along(centre, worst.at, factor);
      const double value = loss(point);
      ++used;
      return Vertex{std::move(point), value};
    };
    Vertex reflected = try_at(-1);
    if (reflected.loss < simplex.front().loss) {
      Vertex expanded = try_at(-2);
      worst = expanded.loss < reflected.loss ? expanded : reflected;
    } else if (reflected.loss < simplex[n - 1].loss) {
      worst = reflected;
    } else {
      Vertex contracted = try_at(reflected.loss < worst.loss ? -0.5 : 0.5);
      if (contracted.loss < std::min(reflected.loss, worst.loss)) {
        worst = contracted;
      } else {
        for (std::size_t v = 1; v <= n; ++v) {
          simplex[v].at = along(simplex[0].at, simplex[v].at, 0.5);
          simplex[v].loss = loss(simplex[v].at);
          ++used;
        }
      }
    }
  }
  return *std::min_element(simplex.begin(), simplex.end(), by_loss);
}

}  // namespace

std::vector<double> minimise(const std::function<double(const std::vector<double>&)>& loss, std::vector<double> start,
                             const SimplexOptions& options) {
  Vertex best{start, loss(start)};
  if (start.empty()) return start;
  double step = options.step;
  for (int round = 0; round <= options.restarts; ++round, step /= 2) {
    const Vertex found = run(loss, best, round % 2 == 0 ? step : -step, options.evaluations / (options.restarts + 1));
    if (found.loss < best.loss) best = found;
  }
  return best.at;
}

}  // namespace foretrain
