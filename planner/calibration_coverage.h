/// Which of a plan's kernels and messages a calibration has measured, and which it could only guess at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/problem.h"

namespace foretrain {

/// Names are those of families ("gemm bf16", "all_reduce, nvswitch"), sorted, each once.
struct CalibrationCoverage {
  std::string name, sha256;                        ///< of the calibration
  std::int64_t inside = 0;                         ///< kernels and messages that lie inside of what was measured
  std::vector<std::string> outside, not_measured;  ///< with the correction at the border; with none
  std::int64_t outside_count = 0, not_measured_count = 0;
};

/// Of the kernels and collectives of every kind of block, of the optimizer and of the messages of each stage, each
/// counted as often as it is different. Needs problem.calibration, and a plan that breaks no rule.
CalibrationCoverage calibration_coverage(const Problem& problem, const Plan& plan);

/// The calibration's name and hash alone, where there is no plan to look at.
CalibrationCoverage calibration_coverage(const Calibration& calibration);

/// "Calibrated by h200.json (1a2b3c4d): 21 of 24 kernels and messages lie inside of what it measured; outside: gemm
/// bf16; not measured: adam forward fp32." and a line end.
std::string to_text(const CalibrationCoverage& coverage);

}  // namespace foretrain
