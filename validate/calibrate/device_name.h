/// GPUs by the name that their driver gives them.
#pragma once

#include <string>
#include <string_view>

#include "hwmodels/catalogue.h"

namespace foretrain {

/// The catalogue's GPU that a driver calls `name` ("NVIDIA H100 80GB HBM3", "Tesla V100-SXM2-16GB"), or that has this
/// name in the catalogue; null for all others.
const GpuSpec* gpu_of_device(std::string_view name, const Catalogue& catalogue);

/// The GPU that samples of a device called `name` ("" where the file does not say) are fitted to. `wanted` (a catalogue
/// name, "" for all) stands in for devices that are not known; null for other devices that are, and for unknown ones
/// without it, and `why` then says so.
const GpuSpec* gpu_to_fit(std::string_view name, const std::string& wanted, const Catalogue& catalogue,
                          std::string& why);

}  // namespace foretrain
