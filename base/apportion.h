/// Whole parts of a whole: real shares rounded so that they still sum to the total.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace foretrain {

/// `shares` in proportion, as integers that sum to `total`: each is rounded down, and the units that are left go to the
/// largest remainders, the first on a tie (Hamilton's method). Needs shares and total >= 0. Where all are 0, and there
/// is one, the first gets everything. No shares: nothing.
std::vector<std::int64_t> apportioned(std::span<const double> shares, std::int64_t total);

}  // namespace foretrain
