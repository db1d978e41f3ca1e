#include "validate/gpu/run/samples.h"

#include <algorithm>
#include <cmath>

namespace foretrain::gpu {

double quantile(std::vector<double> samples, double share) {
  if (samples.empty()) return std::nan("");
  std::sort(samples.begin(), samples.end());
  const double place = share * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (place - static_cast<double>(below)) * (samples[above] - samples[below]);
}

SampleSummary summary_of(const std::vector<double>& samples) {
  SampleSummary s{quantile(samples, 0.5), quantile(samples, 0.1), quantile(samples, 0.9), 0};
  s.spread = (s.p90 - s.p10) / s.median;
  return s;
}

}  // namespace foretrain::gpu
