/// A comparison of predicted with measured, as text.
#pragma once

#include <string>

#include "validate/comparison.h"
#include "validate/comparison_json.h"

namespace foretrain::cli {

/// A table of errors for each quantity and its groups, what was refused by reason; with `rows`, every row as well.
/// Names the calibration that predictions were corrected by (null: none).
std::string comparison_text(const Comparison& comparison, bool rows, const Calibration* calibration = nullptr);

}  // namespace foretrain::cli
