/// Test data: the same numbers on every machine and in every order.
#pragma once

#include <cstdint>

#include "validate/reference/philox.h"
#include "validate/reference/values.h"

namespace foretrain::reference {

/// `count` numbers spread evenly over (-1, 1), different for each seed.
inline Values random_values(std::int64_t count, std::uint64_t seed) {
  Values values(size_of(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t word = random_quad({.seed = seed, .offset = 0}, i / 4).word[i % 4];
    values[i] = (static_cast<double>(word) + 0.5) / 2147483648.0 - 1.0;
  }
  return values;
}

/// `count` indices in [0, limit).
inline std::vector<std::int64_t> random_indices(std::int64_t count, std::int64_t limit, std::uint64_t seed) {
  std::vector<std::int64_t> indices(size_of(count));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::uint32_t word = random_quad({.seed = seed, .offset = 1}, i / 4).word[i % 4];
    indices[i] = static_cast<std::int64_t>(word % static_cast<std::uint64_t>(limit));
  }
  return indices;
}

}  // namespace foretrain::reference
