/// A comparison of predicted with measured as JSON.
#pragma once

#include <string>

#include "validate/comparison.h"

namespace foretrain {

/// The document that docs/FORMAT.md names: rows, summary, refused, calibration.
std::string comparison_json(const Comparison& comparison, const Calibration* calibration = nullptr);

}  // namespace foretrain
