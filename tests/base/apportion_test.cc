#include "base/apportion.h"

#include <numeric>
#include <random>

#include <doctest/doctest.h>

using namespace foretrain;

using Counts = std::vector<std::int64_t>;

TEST_CASE("Shares are rounded so that they sum to the total") {
  // 10 in three equal parts: 3.33 each, and the unit left goes to the first.
  CHECK(apportioned(std::vector<double>{1, 1, 1}, 10) == Counts{4, 3, 3});
  // 10 x 0.46, 0.33, 0.21 = 4.6, 3.3, 2.1: rounded down 4, 3, 2; the unit left goes to the remainder 0.6.
  CHECK(apportioned(std::vector<double>{0.46, 0.33, 0.21}, 10) == Counts{5, 3, 2});
  CHECK(apportioned(std::vector<double>{0, 5}, 7) == Counts{0, 7});
}

TEST_CASE("Nothing to share by goes to the first, and no shares get nothing") {
  CHECK(apportioned(std::vector<double>{0, 0}, 7) == Counts{7, 0});
  CHECK(apportioned(std::vector<double>{}, 7).empty());
  CHECK(apportioned(std::vector<double>{1, 2}, 0) == Counts{0, 0});
}

TEST_CASE("Any shares close, each within one unit of its exact part") {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> share(0, 1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> shares(static_cast<std::size_t>(1 + round % 13));
    for (double& one : shares) one = share(random) < 0.2 ? 0 : share(random);
    shares[0] += 0.01;
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    const std::int64_t total = round % 3 == 0 ? round : 1'000'000'000'000LL + round;
    const Counts counts = apportioned(shares, total);
    CHECK(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) == total);
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const double exact = shares[i] / sum * static_cast<double>(total);
      CHECK(static_cast<double>(counts[i]) > exact - 1.01);
      CHECK(static_cast<double>(counts[i]) < exact + 1.01);
    }
  }
}
