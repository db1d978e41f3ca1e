/// GPUs by the name that their driver gives them.
#pragma once

#include <string>
#include <string_view>

#include "hwmodels/catalogue.h"

namespace foretrain {

/// The catalogue's GPU that a driver calls `name` ("NVIDIA H100 80GB HBM3", "Tesla V100-SXM2-16GB"), or that has this
/// name in the catalogue; null for all others.
const GpuSpec* gpu_of_device(std::string_view name, const Catalogue& catalogue);

}  // namespace foretrain
