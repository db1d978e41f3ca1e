/// GPUs that compute nothing: CUDA's streams, events, graphs and memory on the CPU, so that the order in which the
/// runner puts work on streams can be tested without a GPU.
///
/// A stream is a thread with a queue; kernels of .cu files do nothing; copies and NCCL's collectives are real. Memory
/// is reserved but touched by copies alone. FAKE_GPU_DEVICES (1) and FAKE_GPU_MEMORY_GIB (139) say what there is.
#pragma once

#include <cstdint>
#include <functional>

#include <cuda_runtime_api.h>

namespace foretrain::fake_gpu {

/// Puts `work` on a stream (or into the graph that the stream is being captured for).
void enqueue(cudaStream_t stream, std::function<void()> work);

/// Bytes that cudaMemcpyAsync was asked to copy so far, by direction.
struct HostCopies {
  std::int64_t to_host = 0, from_host = 0;
};
HostCopies host_copies();

}  // namespace foretrain::fake_gpu
