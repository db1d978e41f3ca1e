/// What a calibration found, for people.
#pragma once

#include <string>

#include "validate/calibrate/calibrate.h"

namespace foretrain {

/// Sources; for every family its rows, residuals before and after, range; what steps are made of, on fitted and
/// held-out rows; launch costs, sustained rates, latencies and bandwidths; what was left out, and why.
std::string calibration_report(const CalibrationResult& result);

}  // namespace foretrain
