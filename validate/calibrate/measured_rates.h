/// What measurements say in plain numbers: launch costs, latencies, bandwidths.
#pragma once

#include <vector>

#include "hwmodels/calibration.h"
#include "validate/calibrate/measurement.h"

namespace foretrain {

/// Host time of a launch, for each framework and pass: the median of what the files say.
void add_launches(const std::vector<Measurements>& files, Calibration& calibration);

/// For readers: the bandwidth of long copies (256 MiB and more moved: median), and for each operation and group of GPUs
/// the time of the smallest messages (at most 4 KiB: median) and the bus bandwidth of the largest (from half the
/// largest size on: median).
void add_rates(const std::vector<Measurements>& files, Calibration& calibration);

}  // namespace foretrain
