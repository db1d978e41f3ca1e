/// What a list of measured times says: middle and spread.
#pragma once

#include <vector>

namespace foretrain::gpu {

struct SampleSummary {
  double median = 0, p10 = 0, p90 = 0;
  double spread = 0;  ///< (p90 - p10) / median
};

/// The value below which `share` of the samples lie, interpolated between neighbours. Needs a sample and 0 <= share
/// <= 1.
double quantile(std::vector<double> samples, double share);
SampleSummary summary_of(const std::vector<double>& samples);

}  // namespace foretrain::gpu
