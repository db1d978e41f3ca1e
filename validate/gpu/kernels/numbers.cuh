/// Numbers in memory and in registers: 16 bytes at a time from storage to floats and back.
#pragma once

#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// 8-bit floats of 4 exponent and 3 mantissa bits; conversions to it saturate at 448.
struct E4m3 {
  __nv_fp8_storage_t bits;
};

inline __device__ float widen(float value) { return value; }
inline __device__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
inline __device__ float widen(__half value) { return __half2float(value); }
inline __device__ float widen(std::uint8_t value) { return static_cast<float>(value); }

template <class T>
__device__ T narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, E4m3>) {
    return {__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3)};
  } else {
    return static_cast<T>(value);
  }
}

/// The unsigned type that moves `kBytes` in one access.
template <int kBytes>
using Word = std::conditional_t<
    kBytes == 16, uint4,
    std::conditional_t<kBytes == 8, uint2, std::conditional_t<kBytes == 4, std::uint32_t, std::uint16_t>>>;

/// kCount numbers as they lie in memory, moved by accesses of 16 bytes (or of all of them, where they are fewer).
template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Packed {
  T element[kCount];

  static constexpr int kAccess = sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16;
  static constexpr int kAccesses = static_cast<int>(sizeof(T)) * kCount / kAccess;

  __device__ void load(const T* from) {
    for (int i = 0; i < kAccesses; ++i) {
      reinterpret_cast<Word<kAccess>*>(element)[i] = reinterpret_cast<const Word<kAccess>*>(from)[i];
    }
  }
  __device__ void store(T* to) const {
    for (int i = 0; i < kAccesses; ++i) {
      reinterpret_cast<Word<kAccess>*>(to)[i] = reinterpret_cast<const Word<kAccess>*>(element)[i];
    }
  }
  __device__ void widen_to(float (&values)[kCount]) const {
    for (int i = 0; i < kCount; ++i) values[i] = widen(element[i]);
  }
  /// Two numbers of 16 bits take one conversion.
  __device__ void narrow_from(const float (&values)[kCount]) {
    if constexpr (kCount % 2 == 0 && std::is_same_v<T, __nv_bfloat16>) {
      for (int i = 0; i < kCount; i += 2) {
        reinterpret_cast<__nv_bfloat162*>(element)[i / 2] = __floats2bfloat162_rn(values[i], values[i + 1]);
      }
    } else if constexpr (kCount % 2 == 0 && std::is_same_v<T, __half>) {
      for (int i = 0; i < kCount; i += 2) {
        reinterpret_cast<__half2*>(element)[i / 2] = __floats2half2_rn(values[i], values[i + 1]);
      }
    } else {
      for (int i = 0; i < kCount; ++i) element[i] = narrow<T>(values[i]);
    }
  }
};

/// Loads kCount elements at `index` of a tensor as floats.
template <class T, int kCount>
__device__ void load_floats(const T* tensor, std::int64_t index, float (&values)[kCount]) {
  if constexpr (kCount == 1) {
    values[0] = widen(tensor[index]);
  } else {
    Packed<T, kCount> packed;
    packed.load(tensor + index);
    packed.widen_to(values);
  }
}

template <class T, int kCount>
__device__ void store_floats(T* tensor, std::int64_t index, const float (&values)[kCount]) {
  if constexpr (kCount == 1) {
    tensor[index] = narrow<T>(values[0]);
  } else {
    Packed<T, kCount> packed;
    packed.narrow_from(values);
    packed.store(tensor + index);
  }
}

/// Numbers of T that fill 16 bytes.
template <class T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

inline bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

/// A type as an argument: calls function(TypeTag<T>{}) with the T of `storage`.
template <class T>
struct TypeTag {
  using type = T;
};

template <class Function>
cudaError_t with_type_of(Storage storage, Function function) {
  switch (storage) {
    case Storage::fp32:
      return function(TypeTag<float>{});
    case Storage::fp16:
      return function(TypeTag<__half>{});
    case Storage::bf16:
      return function(TypeTag<__nv_bfloat16>{});
    case Storage::e4m3:
      break;  // only casts know it
  }
  return cudaErrorInvalidValue;
}

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

/// Launches and gives the launch's error. More than 48 KiB of shared memory needs leave first.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), LaunchShape shape, cudaStream_t stream, Arguments... arguments) {
  if (shape.shared_bytes > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

}  // namespace foretrain::gpu
