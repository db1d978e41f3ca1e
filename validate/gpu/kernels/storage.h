/// What the launchers of our kernels share: number formats in memory, and how errors come back.
///
/// Every launcher takes one struct of device pointers and shapes and a stream, allocates nothing, waits for nothing,
/// and gives cudaSuccess or the launch's error; cudaErrorInvalidValue where a shape or a format is not supported.
/// Pointers aligned to 16 bytes and columns that fill 16 bytes take the fast path; anything else works, more slowly.
/// Arithmetic is fp32 whatever the storage. Outputs may be inputs (in place) where their elements correspond.
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

namespace foretrain::gpu {

enum class Storage { fp32, fp16, bf16, e4m3 };

constexpr std::int64_t bytes_of(Storage storage) {
  return storage == Storage::fp32 ? 4 : storage == Storage::e4m3 ? 1 : 2;
}

}  // namespace foretrain::gpu
