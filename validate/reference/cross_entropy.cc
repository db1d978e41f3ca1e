#include "validate/reference/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace foretrain::reference {
namespace {

/// Column of the target among this rank's, or -1.
std::int64_t column_of(const CrossEntropyShape& shape, std::int64_t target) {
  const std::int64_t column = target - shape.first_token;
  return column >= 0 && column < shape.vocabulary ? column : -1;
}

}  // namespace

CrossEntropyStatistics cross_entropy_statistics(const CrossEntropyShape& shape, View logits, Indices targets) {
  const std::size_t rows = size_of(shape.rows), width = size_of(shape.vocabulary);
  FORETRAIN_CHECK(logits.size() == rows * width && targets.size() == rows && width > 0);
  CrossEntropyStatistics s{.largest = Values(rows), .sum_exp = Values(rows), .target_logit = Values(rows)};
  for (std::size_t r = 0; r < rows; ++r) {
    const View row = logits.subspan(r * width, width);
    s.largest[r] = *std::max_element(row.begin(), row.end());
    for (const double logit : row) s.sum_exp[r] += std::exp(logit - s.largest[r]);
    const std::int64_t target = column_of(shape, targets[r]);
    if (target >= 0) s.target_logit[r] = row[size_of(target)];
  }
  return s;
}

CrossEntropyStatistics merge(const CrossEntropyStatistics& a, const CrossEntropyStatistics& b) {
  CrossEntropyStatistics whole = a;
  for (std::size_t r = 0; r < a.largest.size(); ++r) {
    const double largest = std::max(a.largest[r], b.largest[r]);
    whole.largest[r] = largest;
    whole.sum_exp[r] =
        a.sum_exp[r] * std::exp(a.largest[r] - largest) + b.sum_exp[r] * std::exp(b.largest[r] - largest);
    whole.target_logit[r] = a.target_logit[r] + b.target_logit[r];
  }
  return whole;
}

Values cross_entropy_loss(const CrossEntropyStatistics& whole) {
  Values loss(whole.largest.size());
  for (std::size_t r = 0; r < loss.size(); ++r) {
    loss[r] = std::log(whole.sum_exp[r]) + whole.largest[r] - whole.target_logit[r];
  }
  return loss;
}

Values cross_entropy_backward(const CrossEntropyShape& shape, View logits, Indices targets,
                              const CrossEntropyStatistics& whole, View dloss) {
  const std::size_t rows = size_of(shape.rows), width = size_of(shape.vocabulary);
  FORETRAIN_CHECK(logits.size() == rows * width && targets.size() == rows && dloss.size() == rows);
  Values gradient(rows * width);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < width; ++c) {
      const double softmax = std::exp(logits[r * width + c] - whole.largest[r]) / whole.sum_exp[r];
      const bool is_target = column_of(shape, targets[r]) == static_cast<std::int64_t>(c);
      gradient[r * width + c] = dloss[r] * (softmax - (is_target ? 1 : 0));
    }
  }
  return gradient;
}

}  // namespace foretrain::reference
