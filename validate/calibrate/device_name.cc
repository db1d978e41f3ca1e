#include "validate/calibrate/device_name.h"

#include <array>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

struct DeviceName {
  std::string_view device, gpu;
};
// As cudaDeviceProp::name, nvidia-smi and rocm-smi print them, without vendor and series; longer names first, as the
// first that the device's name begins with counts.
constexpr std::array kDevices = {
    DeviceName{"h100 80gb hbm3", "h100-sxm5-80gb"},
    DeviceName{"h100 pcie", "h100-pcie-80gb"},
    DeviceName{"h100 nvl", "h100-nvl-94gb"},
    DeviceName{"h800 pcie", ""},
    DeviceName{"h800", "h800-sxm5-80gb"},
    DeviceName{"h20-3e", ""},
    DeviceName{"h200 nvl", ""},
    DeviceName{"h200", "h200-sxm5-141gb"},
    DeviceName{"h20", "h20-sxm5-96gb"},
    DeviceName{"gh200 120gb", "gh200-96gb"},
    DeviceName{"gh200 480gb", "gh200-96gb"},
    DeviceName{"gb300", "gb300-288gb"},
    DeviceName{"gb200", "gb200-186gb"},
    DeviceName{"b300", "b300-sxm-288gb"},
    DeviceName{"b200", "b200-sxm-180gb"},
    DeviceName{"a100-sxm4-80gb", "a100-sxm4-80gb"},
    DeviceName{"a100-sxm4-40gb", "a100-sxm4-40gb"},
    DeviceName{"a100-sxm-80gb", "a100-sxm4-80gb"},
    DeviceName{"a100-sxm-64gb", ""},
    DeviceName{"a100-pcie-40gb", "a100-pcie-40gb"},
    DeviceName{"a100-pcie-80gb", "a100-pcie-80gb"},
    DeviceName{"a100 80gb pcie", "a100-pcie-80gb"},
    DeviceName{"a800-sxm4-80gb", "a800-sxm4-80gb"},
    DeviceName{"v100-sxm2-16gb", "v100-sxm2-16gb"},
    DeviceName{"v100-sxm2-32gb", "v100-sxm2-32gb"},
    DeviceName{"v100-sxm3-32gb", "v100-sxm3-32gb"},
    DeviceName{"a40", "a40-48gb"},
    DeviceName{"a10g", "a10-24gb"},
    DeviceName{"a10", "a10-24gb"},
    DeviceName{"l40s", "l40s-48gb"},
    DeviceName{"l40", "l40-48gb"},
    DeviceName{"l4", "l4-24gb"},
    DeviceName{"t4", "t4-16gb"},
    DeviceName{"rtx 4090", "rtx4090-24gb"},
    DeviceName{"rtx pro 6000 blackwell", "rtx-pro-6000-96gb"},
    DeviceName{"mi210", "mi210-64gb"},
    DeviceName{"mi250x", "mi250x-128gb"},
    DeviceName{"mi300x", "mi300x-192gb"},
    DeviceName{"mi325x", "mi325x-256gb"},
    DeviceName{"mi355x", "mi355x-288gb"},
};

void take_away(std::string& name, std::string_view word) {
  if (name.starts_with(word)) name.erase(0, word.size());
}

/// "a10" is not the beginning of "a100".
bool begins_with_words(std::string_view name, std::string_view words) {
  if (!name.starts_with(words)) return false;
  return name.size() == words.size() || name[words.size()] == ' ' || name[words.size()] == '-';
}

}  // namespace

const GpuSpec* gpu_of_device(std::string_view device, const Catalogue& catalogue) {
  std::string name = to_lower(device);
  for (const std::string_view word : {"nvidia ", "amd ", "tesla ", "geforce ", "instinct "}) take_away(name, word);
  for (const DeviceName& known : kDevices) {
    if (!begins_with_words(name, known.device)) continue;
    return known.gpu.empty() ? nullptr : &catalogue.gpu(known.gpu, "device");
  }
  try {
    return &catalogue.gpu(device, "device");
  } catch (const SpecError&) {  // a GPU that we do not know is no error of the file
    return nullptr;
  }
}

const GpuSpec* gpu_to_fit(std::string_view name, const std::string& wanted, const Catalogue& catalogue,
                          std::string& why) {
  const GpuSpec* gpu = name.empty() ? nullptr : gpu_of_device(name, catalogue);
  if (wanted.empty()) {
    why = name.empty() ? "the file names no GPU; --gpu does"
                       : fmt::format("GPU \"{}\" is not in the catalogue; --gpu names the one to fit", name);
    return gpu;
  }
  const GpuSpec& other = catalogue.gpu(wanted, "--gpu");
  if (gpu == nullptr || gpu->name == other.name) return &other;
  why = fmt::format("of {}, not of --gpu", gpu->name);
  return nullptr;
}

}  // namespace foretrain
