#include "validate/parallel/difference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretrain::parallel {

double rounding_tolerance(std::int64_t roundings) { return 8 * std::sqrt(static_cast<double>(roundings)) * 0x1p-24; }

double largest(std::span<const double> values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

void Difference::note(double ratio, std::string_view where) {
  if (!(ratio <= worst_) && !std::isinf(worst_)) {
    worst_ = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
    where_ = where;
  }
}

void Difference::compare(std::string_view where, std::span<const float> got, std::span<const double> wanted,
                         double allowed, double scale) {
  compared_ += static_cast<std::int64_t>(wanted.size());
  if (got.size() != wanted.size()) return note(std::numeric_limits<double>::infinity(), where);
  const double unit = allowed * (scale > 0 ? scale : largest(wanted));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(double{got[i]} - wanted[i]);
    note(error == 0 ? 0 : error / unit, where);
  }
}

void Difference::require(bool holds, std::string_view where) {
  ++compared_;
  if (!holds) note(std::numeric_limits<double>::infinity(), where);
}

void Difference::merge(const Difference& other) {
  compared_ += other.compared_;
  note(other.worst_, other.where_);
}

}  // namespace foretrain::parallel
