/// Data made on the GPU: random operands, and what a neighbour that is not there would have sent.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// What to fill memory with. Multiplying zeros takes less power, and so less time, than multiplying numbers does: what
/// is timed has operands like a training run's.
enum class Filling { normal, positive };  ///< standard normal; its absolute value (second moments)

/// `count` numbers at `to`, a function of their places and the seed.
cudaError_t fill_random(void* to, std::int64_t count, Storage storage, Filling filling, std::uint64_t seed,
                        cudaStream_t stream);
/// `count` token ids in [0, vocabulary).
cudaError_t fill_tokens(std::int64_t* to, std::int64_t count, std::int64_t vocabulary, std::uint64_t seed,
                        cudaStream_t stream);

/// Stands for a message whose other ranks are not there: a few thread blocks (as NCCL's kernels have) copy `bytes` from
/// `from` to `to`, and hold their place until `nanoseconds` have passed since they began.
struct Neighbour {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t bytes = 0;
  std::int64_t nanoseconds = 0;
};
cudaError_t stand_in(const Neighbour& neighbour, cudaStream_t stream);

}  // namespace foretrain::gpu
