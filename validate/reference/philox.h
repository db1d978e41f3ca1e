/// Random bits by counter: the same on the CPU and in a kernel, whatever the order or the number of threads.
///
/// Philox 4x32-10. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and its
/// library Random123. C++17 and free of other headers, so that kernels include it too.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define FORETRAIN_HOST_DEVICE __host__ __device__
#else
#define FORETRAIN_HOST_DEVICE
#endif

namespace foretrain {

struct PhiloxWords {
  std::uint32_t word[4];
};

/// Four random words for `counter` under `key` (low word first).
FORETRAIN_HOST_DEVICE constexpr PhiloxWords philox(PhiloxWords counter, std::uint64_t key) {
  auto key_0 = static_cast<std::uint32_t>(key);
  auto key_1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = std::uint64_t{0xD2511F53} * counter.word[0];
    const std::uint64_t product_1 = std::uint64_t{0xCD9E8D57} * counter.word[2];
    counter = {
        {static_cast<std::uint32_t>(product_1 >> 32) ^ counter.word[1] ^ key_0, static_cast<std::uint32_t>(product_1),
         static_cast<std::uint32_t>(product_0 >> 32) ^ counter.word[3] ^ key_1, static_cast<std::uint32_t>(product_0)}};
    key_0 += 0x9E3779B9;  // golden ratio
    key_1 += 0xBB67AE85;  // square root of 3, less 1
  }
  return counter;
}

/// One random stream: ranks that must drop the same elements share both numbers; any other pair is independent.
struct RandomStream {
  std::uint64_t seed = 0;    ///< key
  std::uint64_t offset = 0;  ///< upper half of the counter: a layer, a micro-batch, a rank
};

/// Words for the elements 4 quad .. 4 quad + 3 of a stream.
FORETRAIN_HOST_DEVICE constexpr PhiloxWords random_quad(RandomStream stream, std::uint64_t quad) {
  return philox({{static_cast<std::uint32_t>(quad), static_cast<std::uint32_t>(quad >> 32),
                  static_cast<std::uint32_t>(stream.offset), static_cast<std::uint32_t>(stream.offset >> 32)}},
                stream.seed);
}

/// An element is dropped when its word is below this: probability 2^-32 floor(2^32 p). Needs 0 <= p < 1.
FORETRAIN_HOST_DEVICE constexpr std::uint32_t drop_threshold(double probability) {
  return static_cast<std::uint32_t>(probability * 4294967296.0);
}

}  // namespace foretrain
