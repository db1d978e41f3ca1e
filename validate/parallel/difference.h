/// How far what a rank computed lies from the reference, in units of what rounding allows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::parallel {

/// Relative error that `roundings` float roundings along a chain of sums may leave: 8 sqrt(n) 2^-24. Rounding errors
/// are near random, so they grow as the square root (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019, theorem 2.4,
/// where a factor 8 fails with a probability below 1e-13).
double rounding_tolerance(std::int64_t roundings);

class Difference {
 public:
  /// |got - wanted| <= allowed * scale for every element; `scale` 0 takes the largest |wanted|.
  void compare(std::string_view where, std::span<const float> got, std::span<const double> wanted, double allowed,
               double scale = 0);
  /// A fact that holds or not, such as a number of calls.
  void require(bool holds, std::string_view where);
  void merge(const Difference& other);

  /// Largest error over what is allowed: at most 1 passes; infinite for a NaN, a wrong size or a fact that does not
  /// hold.
  double worst() const { return worst_; }
  const std::string& where() const { return where_; }
  std::int64_t compared() const { return compared_; }
  bool passed() const { return compared_ > 0 && worst_ <= 1; }

 private:
  void note(double ratio, std::string_view where);

  double worst_ = 0;
  std::string where_;
  std::int64_t compared_ = 0;
};

double largest(std::span<const double> values);

}  // namespace foretrain::parallel
