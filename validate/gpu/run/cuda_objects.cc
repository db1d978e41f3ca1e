#include "validate/gpu/run/cuda_objects.h"

#include <cstdio>
#include <string>

namespace foretrain::gpu {
namespace {

std::string gib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", bytes / (1024.0 * 1024 * 1024));
  return text;
}

}  // namespace

DeviceMemory::DeviceMemory(std::int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const cudaError_t error = cudaMalloc(&data_, static_cast<std::size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw OutOfDeviceMemory("out of device memory: " + gib(static_cast<double>(bytes)) + " wanted, " +
                            gib(static_cast<double>(free)) + " of " + gib(static_cast<double>(total)) + " free");
  }
  FORETRAIN_CUDA_CHECK(error);
}

HostMemory::HostMemory(std::int64_t bytes) {
  if (bytes > 0) FORETRAIN_CUDA_CHECK(cudaMallocHost(&data_, static_cast<std::size_t>(bytes)));
}

Stream::Stream(StreamPriority priority) {
  int least = 0, greatest = 0;
  FORETRAIN_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  FORETRAIN_CUDA_CHECK(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                                    priority == StreamPriority::high ? greatest : least));
}

Event::Event(Kind kind) {
  FORETRAIN_CUDA_CHECK(
      cudaEventCreateWithFlags(&event_, kind == Kind::timed ? cudaEventDefault : cudaEventDisableTiming));
}

double microseconds_between(const Event& from, const Event& to) {
  float milliseconds = 0;
  FORETRAIN_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, from, to));
  return 1e3 * static_cast<double>(milliseconds);
}

}  // namespace foretrain::gpu
