/// Tensors on the device for the kernel tests, and how far a kernel may be from its reference.
///
/// The same tests run twice: on the emulator in every test run, and on a GPU where there is one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "tests/validate/reference/random_values.h"
#include "validate/gpu/kernels/storage.h"
#include "validate/reference/number_format.h"

namespace foretrain::gpu {

using reference::Values;
using reference::View;

#ifdef FORETRAIN_EMULATED_CUDA
inline constexpr bool kOnGpu = false;
#else
inline constexpr bool kOnGpu = true;
#endif

inline constexpr Storage kStorages[] = {Storage::bf16, Storage::fp16, Storage::fp32};

inline const reference::NumberFormat& format_of(Storage storage) {
  switch (storage) {
    case Storage::fp16:
      return reference::kFp16;
    case Storage::bf16:
      return reference::kBf16;
    case Storage::e4m3:
      return reference::kE4m3;
    case Storage::fp32:
      break;
  }
  return reference::kFp32;
}

inline void require_success(cudaError_t error) {
  if (error != cudaSuccess) FAIL(cudaGetErrorString(error));
}

/// Device memory of a test; filled with bytes of which floats of every format are NaN.
class Device {
 public:
  explicit Device(std::int64_t bytes) : bytes_(bytes) {
    void* pointer = nullptr;
    require_success(cudaMalloc(&pointer, static_cast<std::size_t>(bytes)));
    memory_.reset(pointer);
    const std::vector<unsigned char> unset(static_cast<std::size_t>(bytes), 0xff);
    require_success(cudaMemcpy(pointer, unset.data(), unset.size(), cudaMemcpyHostToDevice));
  }
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(memory_.get());
  }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* pointer) const { static_cast<void>(cudaFree(pointer)); }
  };
  std::unique_ptr<void, Free> memory_;
  std::int64_t bytes_;
};

/// A tensor in a number format, `shift` elements behind an aligned address.
class Tensor {
 public:
  Tensor(std::int64_t count, Storage storage, std::int64_t shift = 0)
      : count_(count), storage_(storage), shift_(shift), memory_((count + shift) * bytes_of(storage)) {}
  Tensor(const Values& values, Storage storage, std::int64_t shift = 0)
      : Tensor(static_cast<std::int64_t>(values.size()), storage, shift) {
    std::vector<unsigned char> bytes(values.size() * static_cast<std::size_t>(bytes_of(storage)));
    for (std::size_t i = 0; i < values.size(); ++i) put(values[i], bytes.data(), i);
    require_success(cudaMemcpy(pointer(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }

  [[nodiscard]] void* pointer() const { return memory_.as<unsigned char>() + shift_ * bytes_of(storage_); }
  [[nodiscard]] float* floats() const { return static_cast<float*>(pointer()); }

  [[nodiscard]] Values values() const {
    require_success(cudaDeviceSynchronize());
    std::vector<unsigned char> bytes(static_cast<std::size_t>(count_ * bytes_of(storage_)));
    require_success(cudaMemcpy(bytes.data(), pointer(), bytes.size(), cudaMemcpyDeviceToHost));
    Values values(static_cast<std::size_t>(count_));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = number(bytes.data(), i);
    return values;
  }

 private:
  void put(double value, unsigned char* bytes, std::size_t i) const {
    const auto narrow = static_cast<float>(value);
    const auto store = [&](auto bits) { std::memcpy(bytes + i * sizeof bits, &bits, sizeof bits); };
    if (storage_ == Storage::fp32) store(narrow);
    if (storage_ == Storage::bf16) store(reference::bf16_bits(narrow));
    if (storage_ == Storage::fp16) store(reference::fp16_bits(narrow));
    if (storage_ == Storage::e4m3) store(reference::e4m3_bits(narrow));
  }
  [[nodiscard]] double number(const unsigned char* bytes, std::size_t i) const {
    const auto load = [&](auto bits) {
      std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
      return bits;
    };
    if (storage_ == Storage::bf16) return reference::from_bf16_bits(load(std::uint16_t{}));
    if (storage_ == Storage::fp16) return reference::from_fp16_bits(load(std::uint16_t{}));
    if (storage_ == Storage::e4m3) return reference::from_e4m3_bits(load(std::uint8_t{}));
    return load(float{});
  }

  std::int64_t count_;
  Storage storage_;
  std::int64_t shift_;
  Device memory_;
};

/// Integers on the device.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : memory_(static_cast<std::int64_t>(values.size() * sizeof(T))) {
    require_success(cudaMemcpy(memory_.as<T>(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  [[nodiscard]] T* pointer() const { return memory_.as<T>(); }
  [[nodiscard]] std::vector<T> values() const {
    require_success(cudaDeviceSynchronize());
    std::vector<T> values(static_cast<std::size_t>(memory_.bytes()) / sizeof(T));
    require_success(cudaMemcpy(values.data(), memory_.as<T>(), values.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  Device memory_;
};

/// Random numbers in (-size, size) that the format holds exactly, so that kernel and reference read the same.
inline Values random_in(Storage storage, std::int64_t count, std::uint64_t seed, double size = 1) {
  Values values = reference::random_values(count, seed);
  for (double& value : values) value = reference::rounded(value * size, format_of(storage));
  return values;
}

/// Checks got = want up to rounding: `steps` fp32 roundings (2^-24) of numbers as large as `size`, then one rounding to
/// the storage. Where a kernel uses the fast exponential or division, each counts as 8 steps: their documented errors
/// are 2 to 3 units in the last place, and exp(x) adds |x| 2^-24. Source: CUDA C++ programming guide, "Mathematical
/// functions".
inline void check_close(const Values& got, const Values& want, Storage storage, double steps, double size) {
  REQUIRE(got.size() == want.size());
  const reference::NumberFormat& format = format_of(storage);
  const double arithmetic = steps * size * 0x1p-24;
  const double smallest_unit = std::ldexp(0.5, format.smallest_exponent - format.mantissa_bits);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double allowed = arithmetic + format.unit_roundoff() * (std::fabs(want[i]) + arithmetic) + smallest_unit;
    if (!(std::fabs(got[i] - want[i]) <= allowed)) {
      CAPTURE(i);
      CAPTURE(allowed);
      REQUIRE(got[i] == want[i]);
    }
  }
  CHECK(!got.empty());
}

/// rows x cols to test a kernel at: one element, odd sizes that fill no vector, one vector, several blocks, long rows.
struct Shape {
  std::int64_t rows, cols;
};
inline std::vector<Shape> test_shapes() {
  std::vector<Shape> shapes = {{1, 1}, {3, 7}, {5, 8}, {2, 257}, {9, 64}, {33, 136}, {2, 4104}};
  if (kOnGpu) shapes.insert(shapes.end(), {{257, 1023}, {1024, 4096}, {77, 12288}, {301, 8192}});
  return shapes;
}

}  // namespace foretrain::gpu
