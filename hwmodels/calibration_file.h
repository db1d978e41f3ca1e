/// Calibration files (`foretrain.calibration/1`, docs/FORMAT.md).
#pragma once

#include <string>

#include "hwmodels/calibration.h"

namespace foretrain {

/// Reads a calibration; its name and hash are the file's. SpecError for what is not one, or was fitted to GPUs by axes
/// that this version does not know.
Calibration read_calibration(const std::string& path);

/// The file's text: the same calibration gives the same bytes, and reading it gives the same corrections back.
std::string calibration_text(const Calibration& calibration);

/// The axes of every family, as a file names them: what else a file could hold cannot be used.
inline constexpr const char* kCalibrationSchema = "foretrain.calibration/1";

}  // namespace foretrain
