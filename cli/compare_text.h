/// A comparison of predicted with measured, as text and as JSON.
#pragma once

#include <string>

#include "validate/comparison.h"

namespace foretrain::cli {

/// A table of errors for each quantity and its groups, what was refused by reason; with `rows`, every row as well.
std::string comparison_text(const Comparison& comparison, bool rows);

/// The document that docs/FORMAT.md names: rows, summary, refused.
std::string comparison_json(const Comparison& comparison);

}  // namespace foretrain::cli
