#include "validate/reference/philox.h"

#include <array>
#include <cstdlib>

#include <doctest/doctest.h>

#include "tests/validate/reference/random_values.h"
#include "validate/reference/dropout.h"

using namespace foretrain;
using namespace foretrain::reference;

TEST_CASE("Philox gives the published words for the published counters and keys") {
  // Source: Random123 1.14, tests/kat_vectors, the three rows "philox4x32 10".
  struct Row {
    PhiloxWords counter;
    std::uint64_t key;
    PhiloxWords words;
  };
  const std::array rows = {
      Row{{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      Row{{{~0U, ~0U, ~0U, ~0U}}, ~0ULL, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      Row{{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
          0x299f31d0a4093822,
          {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const Row& row : rows) {
    const PhiloxWords words = philox(row.counter, row.key);
    for (int i = 0; i < 4; ++i) CHECK(words.word[i] == row.words.word[i]);
  }
}

TEST_CASE("Dropout drops its share, and other streams drop other elements") {
  const Dropout dropout{.probability = 0.1, .stream = {.seed = 7, .offset = 3}};
  Dropout other = dropout;
  other.stream.offset = 4;
  constexpr int kCount = 100'000;
  int dropped = 0, both = 0;
  for (int i = 0; i < kCount; ++i) {
    dropped += kept(dropout, i) ? 0 : 1;
    both += kept(dropout, i) || kept(other, i) ? 0 : 1;
  }
  // Binomial: 10,000 expected, deviation sqrt(n p (1-p)) = 95; independent streams share 1,000, deviation 31. Five
  // deviations either way; a shared stream would share all 10,000.
  CHECK(std::abs(dropped - 10'000) < 475);
  CHECK(std::abs(both - 1'000) < 155);
}

TEST_CASE("A part of a tensor drops what the whole drops there") {
  const Values x = random_values(101, 1);
  const Dropout whole{.probability = 0.3, .stream = {.seed = 9, .offset = 0}};
  Dropout part = whole;
  part.first_element = 37;
  const Values y = drop(whole, x), tail = drop(part, View(x).subspan(37));
  for (std::size_t i = 37; i < x.size(); ++i) CHECK(tail[i - 37] == y[i]);
}

TEST_CASE("Kept elements are scaled up so that the mean stays, and bias comes before dropout, residual after") {
  const Dropout half{.probability = 0.5, .stream = {.seed = 1, .offset = 0}};
  const Values x(64, 1.0), bias = {1.0, 2.0}, residual(64, 10.0);
  const Values y = bias_dropout_add(half, x, bias, residual);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double sum = i % 2 == 0 ? 2.0 : 3.0;
    CHECK(y[i] == (kept(half, static_cast<std::int64_t>(i)) ? 10.0 + 2 * sum : 10.0));
  }
}
