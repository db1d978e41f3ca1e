/// CUDA's words on the CPU, as far as our kernels use them, so that the kernels' own source runs in every test run.
///
/// The threads of a block are fibres that yield at barriers and warp shuffles; blocks run one after another. Stands in
/// for the toolkit's header of this name. A kernel that leaves a barrier out gives other results when the fibres run in
/// the other order (FORETRAIN_EMULATOR_REVERSED), one that writes past its shared memory ends the program, and so does
/// one whose threads wait for different barriers. Speed, coalescing and the order of global writes between blocks are
/// not modelled.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#define FORETRAIN_EMULATED_CUDA 1

#define __global__
#define __device__
#define __host__
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) uint2 {
  std::uint32_t x, y;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorLaunchOutOfResources = 701
};
using cudaStream_t = void*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace foretrain::emulator {

inline constexpr std::size_t kSharedBytes = 232448;  // of a block on an H100
inline constexpr int kMultiprocessors = 3;           // few, so that persistent kernels take several rows a block

/// Runs body() once for each thread of each block.
cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& body);

void wait_for_block();
/// What the thread of the same warp with lane number `lane ^ mask` passes.
std::uint64_t exchange(std::uint64_t bits, int mask);
/// A copy that happens no sooner than the wait for its group.
void copy_later(void* to, const void* from, std::size_t bytes);
void end_group();
void wait_for_groups(std::size_t groups_still_allowed);

}  // namespace foretrain::emulator

extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { foretrain::emulator::wait_for_block(); }

template <class T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int lane_mask) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = foretrain::emulator::exchange(bits, lane_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  return foretrain::emulator::run_grid(*config, [&] { kernel(arguments...); });
}

inline cudaError_t cudaFuncSetAttribute(const void* /*kernel*/, cudaFuncAttribute /*attribute*/, int bytes) {
  return bytes >= 0 && static_cast<std::size_t>(bytes) <= foretrain::emulator::kSharedBytes ? cudaSuccess
                                                                                            : cudaErrorInvalidValue;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*device*/) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? foretrain::emulator::kMultiprocessors
                                                       : static_cast<int>(foretrain::emulator::kSharedBytes);
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel /*kernel*/, int threads,
                                                          std::size_t shared_bytes) {
  *blocks = threads <= 1024 && shared_bytes <= foretrain::emulator::kSharedBytes ? 1 : 0;
  return cudaSuccess;
}

inline cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *pointer != nullptr || bytes == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind /*kind*/) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "error"; }

using std::max;
using std::min;
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float atomicAdd(float* at, float value) {
  const float before = *at;
  *at += value;
  return before;
}
