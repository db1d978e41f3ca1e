/// What the machine is and how it is doing: names, versions, clocks, what holds it back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretrain::gpu {

/// Clocks and limits at one moment; what cannot be read is 0 or empty.
struct ClockReading {
  double sm_mhz = 0, memory_mhz = 0;
  double watts = 0;
  std::vector<std::string> throttled;  ///< "power", "thermal", ...
};

/// Reads the current device through NVML, which is loaded at run time and may be missing.
class Clocks {
 public:
  Clocks();
  ~Clocks();
  Clocks(const Clocks&) = delete;
  Clocks& operator=(const Clocks&) = delete;

  [[nodiscard]] bool available() const { return device_ != nullptr; }
  [[nodiscard]] ClockReading read() const;
  /// Most that the GPU runs at, and the limit on its power; 0 where unknown.
  [[nodiscard]] double max_sm_mhz() const;
  [[nodiscard]] double power_limit_watts() const;
  [[nodiscard]] std::string driver() const;

 private:
  void* library_ = nullptr;
  void* device_ = nullptr;
};

/// The state of the machine without touching a GPU's memory: FORETRAIN_GPU_READY, _NO_DRIVER or _NO_DEVICE, with a
/// line.
struct DeviceState {
  int state = 0;
  int devices = 0;
  std::string line;
};
DeviceState device_state();

/// The "device" object of a measurement file for the current device.
std::string device_json(const Clocks& clocks, std::int32_t gpus, const std::vector<ClockReading>& readings);

/// "13.0" and "2.28.9", from the numbers that the libraries give.
std::string cuda_version_text(int version);
std::string nccl_version_text(int version);
/// 91900 of "9.19.0"; 0 of "".
long long version_number(const std::string& text);

}  // namespace foretrain::gpu
