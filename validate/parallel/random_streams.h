/// Dropout's random numbers: which ranks draw the same and which draw their own.
#pragma once

#include <array>
#include <cstdint>

namespace foretrain::parallel {

/// Ten rounds of Philox 4x32. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// Names the mask of one dropout call; element `index` of the mask depends on nothing else.
struct Draw {
  std::uint64_t seed = 0;
  std::uint64_t call = 0;
};

/// In [0, 1), a multiple of 2^-24: the first word of philox({index, call}, seed), its upper 24 bits.
float uniform(const Draw& draw, std::uint64_t index);

/// Where a dropout call lies. Replicated: every tensor rank holds the same activations and must drop the same. Split:
/// each tensor rank holds its own heads or, with sequence parallelism, its own tokens, and must draw its own mask.
enum class Region : std::uint8_t { replicated, split };

struct Seeds {
  std::uint64_t replicated = 0;
  std::uint64_t split = 0;
};

/// replicated = base + 10000 context_rank, split = replicated + 2718 + tensor_rank. Data ranks draw alike. Source:
/// Megatron-LM megatron/core/tensor_parallel/random.py, model_parallel_cuda_manual_seed (2718). Ours: context ranks
/// hold other tokens and so have seeds of their own; pipeline stages need none, as calls are numbered over all layers.
Seeds seeds_of(std::uint64_t base, int tensor_rank, int context_rank);

/// Hands out masks in order. The state is the number of the next call.
class RandomStreams {
 public:
  explicit RandomStreams(const Seeds& seeds) : seeds_(seeds) {}
  virtual ~RandomStreams() = default;
  Draw draw(Region region) { return {region == Region::split ? seeds_.split : seeds_.replicated, next_call_++}; }
  std::uint64_t state() const { return next_call_; }
  /// A new pass draws from call `state` on.
  void start(std::uint64_t state) { next_call_ = state; }
  /// Recomputation draws again what the forward pass drew from `state` on.
  virtual void rewind(std::uint64_t state) { next_call_ = state; }

 private:
  Seeds seeds_;
  std::uint64_t next_call_ = 0;
};

}  // namespace foretrain::parallel
