#include "validate/parallel/random_streams.h"

#include <set>

#include <doctest/doctest.h>

using namespace foretrain::parallel;

TEST_CASE("philox gives the published words") {
  // Random123 1.09, tests/kat_vectors, philox4x32 with 10 rounds.
  using Words = std::array<std::uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform numbers lie in [0, 1) with the mean and the spread of the interval") {
  double sum = 0;
  double square = 0;
  constexpr int kCount = 20000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double u = double{uniform({5, 6}, i)};
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    square += u * u;
  }
  // Mean 1/2, deviation of the mean 1 / sqrt(12 * 20000) = 0.002; mean square 1/3, its deviation sqrt(4/45/20000) =
  // 0.0021.
  CHECK(sum / kCount == doctest::Approx(0.5).epsilon(0.02));
  CHECK(square / kCount == doctest::Approx(1.0 / 3).epsilon(0.03));
}

TEST_CASE("seeds follow Megatron-LM's rule over tensor ranks") {
  const Seeds first = seeds_of(1234, 0, 0);
  const Seeds second = seeds_of(1234, 1, 0);
  CHECK(first.replicated == 1234);
  CHECK(first.replicated == second.replicated);
  CHECK(first.split == 1234 + 2718);  // model_parallel_cuda_manual_seed: offset = seed + 2718, + tensor rank
  CHECK(second.split == 1234 + 2718 + 1);
  std::set<std::uint64_t> all;
  for (int c = 0; c < 8; ++c) {
    all.insert(seeds_of(1234, 0, c).replicated);
    for (int t = 0; t < 8; ++t) all.insert(seeds_of(1234, t, c).split);
  }
  CHECK(all.size() == 8 + 8 * 8);
}

TEST_CASE("a stream numbers its draws and draws again after rewinding") {
  RandomStreams streams({10, 20});
  streams.start(5);
  CHECK(streams.draw(Region::replicated).seed == 10);
  const std::uint64_t before = streams.state();
  const Draw split = streams.draw(Region::split);
  CHECK(split.seed == 20);
  CHECK(split.call == 6);
  streams.rewind(before);
  CHECK(streams.draw(Region::split).call == 6);
  CHECK(uniform({10, 6}, 0) != uniform({10, 7}, 0));
  CHECK(uniform({10, 6}, 0) != uniform({20, 6}, 0));
  CHECK(uniform({10, 6}, 0) != uniform({10, 6}, 1));
}
