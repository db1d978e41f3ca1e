#include "validate/gpu/run/device_facts.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>

#include "validate/gpu/library/attention.h"
#include "validate/gpu/library/gemm.h"
#include "validate/gpu/run/cuda_check.h"
#include "validate/gpu/run/foretrain_gpu_api.h"
#include "validate/gpu/run/json_line.h"
#include "validate/gpu/run/samples.h"

namespace foretrain::gpu {
namespace {

// NVML's interface as far as it is used here: the toolkit need not have its header. Source: nvml.h of CUDA 13.
enum NvmlClock { kClockSm = 1, kClockMemory = 2 };
struct Reason {
  unsigned long long bit;
  const char* name;
};
// nvmlClocksEventReason*: what holds the clocks down. Idle (1) is left out: it is no limit.
constexpr std::array kReasons = {
    Reason{0x2, "application clocks"},   Reason{0x4, "power"},    Reason{0x8, "hardware slowdown"},
    Reason{0x10, "sync boost"},          Reason{0x20, "thermal"}, Reason{0x40, "hardware thermal"},
    Reason{0x80, "hardware power brake"}};

template <class... Arguments>
bool nvml(void* library, const char* name, Arguments... arguments) {
  if (library == nullptr) return false;
  using Function = int (*)(Arguments...);
  const auto function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr && function(arguments...) == 0;
}

std::string version_text(long long major, long long minor, long long patch) {
  return std::to_string(major) + "." + std::to_string(minor) + (patch >= 0 ? "." + std::to_string(patch) : "");
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

}  // namespace

Clocks::Clocks() {
  library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!nvml(library_, "nvmlInit_v2")) return;
  int device = 0;
  char bus[32] = {};
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess) return;
  if (!nvml<const char*, void**>(library_, "nvmlDeviceGetHandleByPciBusId_v2", bus, &device_)) device_ = nullptr;
}

Clocks::~Clocks() {
  nvml(library_, "nvmlShutdown");
  if (library_ != nullptr) dlclose(library_);
}

ClockReading Clocks::read() const {
  ClockReading reading;
  if (!available()) return reading;
  unsigned value = 0;
  if (nvml<void*, int, unsigned*>(library_, "nvmlDeviceGetClockInfo", device_, kClockSm, &value))
    reading.sm_mhz = value;
  if (nvml<void*, int, unsigned*>(library_, "nvmlDeviceGetClockInfo", device_, kClockMemory, &value)) {
    reading.memory_mhz = value;
  }
  if (nvml<void*, unsigned*>(library_, "nvmlDeviceGetPowerUsage", device_, &value)) reading.watts = value / 1e3;
  unsigned long long reasons = 0;
  if (nvml<void*, unsigned long long*>(library_, "nvmlDeviceGetCurrentClocksEventReasons", device_, &reasons) ||
      nvml<void*, unsigned long long*>(library_, "nvmlDeviceGetCurrentClocksThrottleReasons", device_, &reasons)) {
    for (const Reason& r : kReasons) {
      if ((reasons & r.bit) != 0) reading.throttled.emplace_back(r.name);
    }
  }
  return reading;
}

double Clocks::max_sm_mhz() const {
  unsigned value = 0;
  if (!available()) return 0;
  return nvml<void*, int, unsigned*>(library_, "nvmlDeviceGetMaxClockInfo", device_, kClockSm, &value) ? value : 0;
}

double Clocks::power_limit_watts() const {
  unsigned value = 0;
  if (!available()) return 0;
  return nvml<void*, unsigned*>(library_, "nvmlDeviceGetEnforcedPowerLimit", device_, &value) ? value / 1e3 : 0;
}

std::string Clocks::driver() const {
  char text[96] = {};
  return nvml<char*, unsigned>(library_, "nvmlSystemGetDriverVersion", text, sizeof text) ? text : "";
}

DeviceState device_state() {
  DeviceState state;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  const cudaError_t error = cudaGetDeviceCount(&state.devices);
  if (error != cudaSuccess) state.devices = 0;  // the call leaves the count as it was
  if (error == cudaErrorInsufficientDriver || error == cudaErrorStubLibrary) {
    state.state = FORETRAIN_GPU_NO_DRIVER;
    state.line = driver == 0 ? "no NVIDIA driver here"
                             : "the NVIDIA driver is for CUDA " + cuda_version_text(driver) + ", this program needs " +
                                   cuda_version_text(CUDART_VERSION);
  } else if (error != cudaSuccess || state.devices == 0) {
    state.state = FORETRAIN_GPU_NO_DEVICE;
    state.line = "no GPU here: " + std::string(cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error));
  } else {
    cudaDeviceProp properties{};
    cudaGetDeviceProperties(&properties, 0);
    state.line = std::to_string(state.devices) + " x " + properties.name;
  }
  cudaGetLastError();
  return state;
}

std::string cuda_version_text(int version) { return version_text(version / 1000, version / 10 % 100, -1); }
std::string nccl_version_text(int version) { return version_text(version / 10000, version / 100 % 100, version % 100); }
long long version_number(const std::string& text) {
  long long parts[3] = {};
  std::sscanf(text.c_str(), "%lld.%lld.%lld", &parts[0], &parts[1], &parts[2]);
  return (parts[0] * 100 + parts[1]) * 100 + parts[2];
}

std::string device_json(const Clocks& clocks, std::int32_t gpus, const std::vector<ClockReading>& readings) {
  int device = 0, nccl = 0, runtime = 0;
  FORETRAIN_CUDA_CHECK(cudaGetDevice(&device));
  cudaDeviceProp properties{};
  FORETRAIN_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  FORETRAIN_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  ncclGetVersion(&nccl);
  JsonLine line;
  line.text("gpu", properties.name)
      .text("compute_capability", version_text(properties.major, properties.minor, -1))
      .whole("count", gpus)
      .whole("sm_count", properties.multiProcessorCount)
      .whole("l2_cache_bytes", properties.l2CacheSize)
      .whole("memory_bytes", static_cast<std::int64_t>(properties.totalGlobalMem))
      .text("driver", clocks.driver())
      .text("cuda", cuda_version_text(runtime))
      .text("cublas", GemmLibrary::version())
      .text("cudnn", AttentionLibrary::version())
      .text("nccl", nccl_version_text(nccl));
  const auto clock = [&](const char* key, double most, double ClockReading::*field) {
    std::vector<double> values;
    for (const ClockReading& r : readings) {
      if (r.*field > 0) values.push_back(r.*field);
    }
    JsonLine c;
    if (most > 0) c.number("max", most);
    if (!values.empty()) {
      c.number("least", *std::min_element(values.begin(), values.end())).number("median", quantile(values, 0.5));
    }
    line.raw(key, c.end());
  };
  clock("sm_clock_mhz", clocks.max_sm_mhz(), &ClockReading::sm_mhz);
  clock("memory_clock_mhz", 0, &ClockReading::memory_mhz);
  if (const double limit = clocks.power_limit_watts(); limit > 0) line.number("power_limit_watts", limit);
  std::string throttled;
  for (const Reason& reason : kReasons) {
    const bool seen = std::any_of(readings.begin(), readings.end(), [&](const ClockReading& r) {
      return std::find(r.throttled.begin(), r.throttled.end(), reason.name) != r.throttled.end();
    });
    if (seen) throttled += (throttled.empty() ? "" : ", ") + json_text(reason.name);
  }
  return line.raw("throttled", "[" + throttled + "]").text("date", today()).end();
}

}  // namespace foretrain::gpu
