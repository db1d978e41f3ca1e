/// Files of measurements, of whatever kind, compared; and those that ship with the program.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hwmodels/calibration.h"
#include "hwmodels/catalogue.h"
#include "validate/accuracy_report.h"
#include "validate/comparison.h"

namespace foretrain {

/// Compares one file of runs, kernels or collectives; which it is shows in its first character, its schema and its
/// columns. SpecError for any other file. `threads`: 0 = all cores; the result does not depend on it.
Comparison compare_file(const std::string& path, const Catalogue& catalogue, std::int32_t threads,
                        const std::shared_ptr<const Calibration>& calibration = nullptr);

/// Paths of the measurements in validate/published/`folder` ("runs", "kernels", "collectives"), by name.
std::vector<std::string> published_files(const std::string& folder);

/// All of them, compared.
AccuracyInput compare_published(const Catalogue& catalogue, std::int32_t threads);

}  // namespace foretrain
