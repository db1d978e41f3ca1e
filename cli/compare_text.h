/// A comparison of predicted with measured, as text and as JSON.
#pragma once

#include <string>

#include "validate/comparison.h"

namespace foretrain::cli {

/// A table of errors for each quantity and its groups, what was refused by reason; with `rows`, every row as well.
/// Names the calibration that predictions were corrected by (null: none).
std::string comparison_text(const Comparison& comparison, bool rows, const Calibration* calibration = nullptr);

/// The document that docs/FORMAT.md names: rows, summary, refused, calibration.
std::string comparison_json(const Comparison& comparison, const Calibration* calibration = nullptr);

}  // namespace foretrain::cli
