#include "validate/gpu/kernels/numbers.cuh"
#include "validate/gpu/run/device_data.h"
#include "validate/reference/philox.h"

namespace foretrain::gpu {
namespace {

constexpr int kThreads = 256;
constexpr int kFillBlocks = 4096;
// Source: NVIDIA/nccl 2.28.9: 16 NVLS channels on one Hopper node, a block each; rings and trees have 16 to 32.
constexpr int kNeighbourBlocks = 16;
constexpr int kNeighbourThreads = 512;

/// Two standard normal numbers from two words. Source: Box and Muller 1958.
__device__ float2 normal_pair(std::uint32_t a, std::uint32_t b) {
  const float radius = sqrtf(-2.0F * logf((static_cast<float>(a) + 1.0F) * 2.3283064e-10F));  // 2^-32
  float sine, cosine;
  sincospif(2.0F * 2.3283064e-10F * static_cast<float>(b), &sine, &cosine);
  return {radius * cosine, radius * sine};
}

template <class T>
__global__ void fill(T* to, std::int64_t count, bool positive, std::uint64_t seed) {
  const std::int64_t quads = (count + 3) / 4;
  for (std::int64_t q = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; q < quads;
       q += std::int64_t{gridDim.x} * blockDim.x) {
    const PhiloxWords words = random_quad({seed, 0}, static_cast<std::uint64_t>(q));
    const float2 first = normal_pair(words.word[0], words.word[1]);
    const float2 second = normal_pair(words.word[2], words.word[3]);
    const float value[4] = {first.x, first.y, second.x, second.y};
    for (int i = 0; i < 4 && 4 * q + i < count; ++i) {
      to[4 * q + i] = narrow<T>(positive ? fabsf(value[i]) : value[i]);
    }
  }
}

__global__ void tokens(std::int64_t* to, std::int64_t count, std::int64_t vocabulary, std::uint64_t seed) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const PhiloxWords words = random_quad({seed, 1}, static_cast<std::uint64_t>(i));
    to[i] = static_cast<std::int64_t>((std::uint64_t{words.word[0]} * static_cast<std::uint64_t>(vocabulary)) >> 32);
  }
}

__device__ std::int64_t nanoseconds_now() {
  std::int64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

__global__ void __launch_bounds__(kNeighbourThreads)
    neighbour(const uint4* from, uint4* to, std::int64_t words, std::int64_t nanoseconds) {
  const std::int64_t begin = nanoseconds_now();
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i + 3 * stride < words; i += 4 * stride) {  // four loads in flight
    const uint4 a = from[i], b = from[i + stride], c = from[i + 2 * stride], d = from[i + 3 * stride];
    to[i] = a;
    to[i + stride] = b;
    to[i + 2 * stride] = c;
    to[i + 3 * stride] = d;
  }
  for (; i < words; i += stride) to[i] = from[i];
  if (threadIdx.x == 0) {
    while (nanoseconds_now() - begin < nanoseconds) __nanosleep(200);
  }
}

int blocks_for(std::int64_t pieces) {
  const std::int64_t blocks = (pieces + kThreads - 1) / kThreads;
  return static_cast<int>(blocks < 1 ? 1 : blocks < kFillBlocks ? blocks : kFillBlocks);
}

}  // namespace

cudaError_t fill_random(void* to, std::int64_t count, Storage storage, Filling filling, std::uint64_t seed,
                        cudaStream_t stream) {
  const bool positive = filling == Filling::positive;
  const int blocks = blocks_for((count + 3) / 4);
  switch (storage) {
    case Storage::fp32:
      fill<<<blocks, kThreads, 0, stream>>>(static_cast<float*>(to), count, positive, seed);
      break;
    case Storage::fp16:
      fill<<<blocks, kThreads, 0, stream>>>(static_cast<__half*>(to), count, positive, seed);
      break;
    case Storage::bf16:
      fill<<<blocks, kThreads, 0, stream>>>(static_cast<__nv_bfloat16*>(to), count, positive, seed);
      break;
    case Storage::e4m3:
      fill<<<blocks, kThreads, 0, stream>>>(static_cast<E4m3*>(to), count, positive, seed);
      break;
  }
  return cudaGetLastError();
}

cudaError_t fill_tokens(std::int64_t* to, std::int64_t count, std::int64_t vocabulary, std::uint64_t seed,
                        cudaStream_t stream) {
  tokens<<<blocks_for(count), kThreads, 0, stream>>>(to, count, vocabulary, seed);
  return cudaGetLastError();
}

cudaError_t stand_in(const Neighbour& n, cudaStream_t stream) {
  neighbour<<<kNeighbourBlocks, kNeighbourThreads, 0, stream>>>(static_cast<const uint4*>(n.from),
                                                                static_cast<uint4*>(n.to), n.bytes / 16, n.nanoseconds);
  return cudaGetLastError();
}

}  // namespace foretrain::gpu
