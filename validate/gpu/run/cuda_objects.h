/// Owners of what CUDA gives out: memory, streams, events.
#pragma once

#include <cstdint>
#include <utility>

#include <cuda_runtime_api.h>

#include "validate/gpu/run/cuda_check.h"

namespace foretrain::gpu {

/// Device memory. Throws OutOfDeviceMemory, with what was asked for and what is free.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(std::int64_t bytes);
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(DeviceMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Memory of the host that the GPU copies from and to at full speed.
class HostMemory {
 public:
  HostMemory() = default;
  explicit HostMemory(std::int64_t bytes);
  ~HostMemory() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }
  HostMemory(HostMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  HostMemory& operator=(HostMemory&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  [[nodiscard]] void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

enum class StreamPriority { normal, high };

class Stream {
 public:
  explicit Stream(StreamPriority priority = StreamPriority::normal);
  ~Stream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT: it is used as one

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  enum class Kind { timed, untimed };
  explicit Event(Kind kind = Kind::timed);
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  operator cudaEvent_t() const { return event_; }  // NOLINT: it is used as one

 private:
  cudaEvent_t event_ = nullptr;
};

/// Microseconds from one timed event to another; both have happened.
double microseconds_between(const Event& from, const Event& to);

}  // namespace foretrain::gpu
