#include "validate/calibrate/measurement.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace foretrain {

void Measurements::leave_out(const std::string& why, std::int64_t rows) {
  if (rows <= 0) return;
  const auto same = [&](const LeftOutRows& l) { return l.why == why; };
  const auto found = std::find_if(left_out.begin(), left_out.end(), same);
  if (found != left_out.end()) {
    found->rows += rows;
  } else {
    left_out.push_back({.file = source.file, .why = why, .rows = rows});
  }
}

double quantile_of(std::vector<double> values, double share) {
  FORETRAIN_CHECK(!values.empty());
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  const auto index = std::min(values.size() - 1, static_cast<std::size_t>(std::max(0.0, rank - 1)));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

double median_of(std::vector<double> values) { return quantile_of(std::move(values), 0.5); }

}  // namespace foretrain
