/// Predicted against measured: rows, refusals with a reason, and what they sum up to.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hwmodels/calibration.h"

namespace foretrain {

/// One measured quantity beside its prediction, both in the base unit that `quantity` names ("step_seconds",
/// "peak_memory_bytes").
struct ComparisonRow {
  std::string id;
  std::string quantity;
  std::vector<std::string> groups;  ///< labels such as "gpu:h100-sxm5-80gb", by which rows are summed up as well
  double predicted = 0;
  double measured = 0;       ///< > 0
  double low = 0, high = 0;  ///< 10th and 90th percentile of what is expected; both 0: no error bar
};

/// A row that could not be predicted, and why.
struct RefusedRow {
  std::string id;
  std::string why;
};

struct Comparison {
  std::vector<ComparisonRow> rows;
  std::vector<RefusedRow> refused;
};

/// (predicted - measured) / measured.
double error_of(const ComparisonRow&);

/// Errors as fractions of the measured value; APE is an absolute one. Quantiles: the smallest value that at least that
/// share of the rows does not exceed (nearest rank). All 0 for no rows.
struct ErrorSummary {
  std::int64_t count = 0;
  double mape = 0;  ///< mean APE
  double median_ape = 0;
  double p90_ape = 0;
  double max_ape = 0;
  double bias = 0;  ///< mean signed error: above 0 predicts too long (or too much)
  double spearman =
      0;  ///< rank correlation of predicted and measured, ties averaged; 0 below two rows or without spread
  double within_10_percent = 0;  ///< share of rows with APE <= 0.1
  double inside_interval = 0;    ///< share of rows with an error bar whose measured value lies in it; 0 for none
};
ErrorSummary summarise(const std::vector<ComparisonRow>& rows);

/// One summary for each quantity, and for each group inside a quantity; ordered by name.
struct QuantitySummary {
  ErrorSummary all;
  std::map<std::string, ErrorSummary> groups;
};
std::map<std::string, QuantitySummary> summarise_by_quantity(const std::vector<ComparisonRow>& rows);

/// The group of rows by what a calibration had to say about them: "calibration: inside".
std::string calibration_group(CalibrationUse use);

/// `more` after `comparison`.
void append(Comparison& comparison, Comparison more);

}  // namespace foretrain
