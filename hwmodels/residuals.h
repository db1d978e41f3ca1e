/// How far predictions have been from published measurements, by kind: what error bars are made of.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/spec_node.h"

namespace foretrain {

/// Spread of log(measured / predicted) over single kernels or collectives.
struct PartResidual {
  std::int64_t rows = 0;
  double log_sd = 0;  ///< half the width of the middle 80 % of the rows, over 1.2816
};

/// Of whole steps under one trainer: what kernels and collectives do not explain.
struct StepResidual {
  std::int64_t rows = 0;
  double log_bias = 0;   ///< median of log(measured / predicted)
  double log_width = 0;  ///< half the width of the middle 80 % around it that is left
};

/// Read from hwmodels/catalogue/residuals.json, which foretrain_fit_residuals writes (docs/models/uncertainty.md).
struct ResidualSpec {
  std::map<std::string, PartResidual> kernels, collectives;  ///< by GPU
  std::map<std::string, StepResidual> steps;                 ///< by trainer; "fp8" after a blank: below 16 bits
  StepResidual any_step;                                     ///< of all trainers: for those with few rows
  /// Of plans that differ under the same trainer, model and machine: what is left once their common error is taken out.
  PartResidual ranking;
};

/// SpecError for misspelt keys and numbers out of range.
ResidualSpec read_residuals(const SpecNode& file);

/// The spread on a GPU; for one without rows the widest of those with rows, 0 when there is none.
double log_sd_of(const std::map<std::string, PartResidual>& residuals, const std::string& gpu);

}  // namespace foretrain
