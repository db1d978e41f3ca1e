#include "base/apportion.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"

namespace foretrain {

std::vector<std::int64_t> apportioned(std::span<const double> shares, std::int64_t total) {
  FORETRAIN_CHECK(total >= 0);
  std::vector<std::int64_t> parts(shares.size(), 0);
  if (shares.empty()) return parts;
  long double sum = 0;
  for (const double share : shares) {
    FORETRAIN_CHECK(share >= 0);
    sum += share;
  }
  if (sum <= 0) {
    parts[0] = total;
    return parts;
  }
  std::vector<std::size_t> order(shares.size());
  std::vector<long double> remainders(shares.size());
  std::int64_t left = total;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const long double exact = shares[i] / sum * static_cast<long double>(total);
    parts[i] = static_cast<std::int64_t>(std::floor(exact));
    remainders[i] = exact - static_cast<long double>(parts[i]);
    left -= parts[i];
    order[i] = i;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  // In exact arithmetic 0 <= left < shares; a unit that rounding of `exact` itself moved goes the same way.
  for (std::size_t i = 0; left > 0; i = (i + 1) % order.size(), --left) ++parts[order[i]];
  for (std::size_t i = order.size(); left < 0;) {
    i = i == 0 ? order.size() - 1 : i - 1;
    if (parts[order[i]] == 0) continue;
    --parts[order[i]];
    ++left;
  }
  return parts;
}

}  // namespace foretrain
