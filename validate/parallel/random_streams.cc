#include "validate/parallel/random_streams.h"

namespace foretrain::parallel {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  // Multipliers and key increments of the paper's table 2 and section 3.3 (golden ratio, square root of 3 less 1).
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

float uniform(const Draw& draw, std::uint64_t index) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  const std::uint32_t word =
      philox({low(index), high(index), low(draw.call), high(draw.call)}, {low(draw.seed), high(draw.seed)})[0];
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

Seeds seeds_of(std::uint64_t base, int tensor_rank, int context_rank) {
  const std::uint64_t replicated = base + 10000 * static_cast<std::uint64_t>(context_rank);
  return {replicated, replicated + 2718 + static_cast<std::uint64_t>(tensor_rank)};
}

}  // namespace foretrain::parallel
