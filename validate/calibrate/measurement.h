/// Samples to fit: what ran, where, and how long, whichever file it came from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hwmodels/calibration.h"
#include "hwmodels/cluster.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// `kernels` ran one after the other in `time`; the last one is what the row is about, the others prepare for it.
struct KernelSample {
  std::string gpu;  ///< catalogue id
  std::vector<Kernel> kernels;
  Seconds time;
  MeasuredIn measured_in = MeasuredIn::isolated;
};

struct CollectiveSample {
  CollectiveOp op = CollectiveOp::all_reduce;
  Bytes size;
  Seconds time;
  GroupLayout group;
  std::shared_ptr<const ClusterSpec> cluster;
  CollectiveChoice choice;
  MeasuredIn measured_in = MeasuredIn::isolated;
};

/// Median host time for one launch.
struct LaunchSample {
  std::string framework;
  bool backward = false;
  Seconds time;
  std::int64_t samples = 1;
};

/// All samples of one file, and what of it cannot be used.
struct Measurements {
  CalibrationSource source;
  std::vector<KernelSample> kernels;
  std::vector<CollectiveSample> collectives;
  std::vector<LaunchSample> launches;
  std::vector<LeftOutRows> left_out;
  std::vector<std::string> warnings;

  /// Counts `rows` more that cannot be used for this reason.
  void leave_out(const std::string& why, std::int64_t rows = 1);
};

/// What a file may leave open.
struct MeasurementOptions {
  std::string gpu;                     ///< the one to fit, also for devices that are not known; "" for all
  std::optional<ClusterSpec> cluster;  ///< on which collectives ran; otherwise the GPU's usual node and network
  std::int64_t ranks = 0, ranks_per_node = 0;
  std::optional<CollectiveOp> op;
  std::string framework;  ///< whose host code a trace shows; "" keeps launch times out
};

/// The median, of two middle ones the smaller. Needs at least one value.
double median_of(std::vector<double> values);
/// The smallest value that at least `share` of all do not exceed (nearest rank). Needs at least one value.
double quantile_of(std::vector<double> values, double share);

}  // namespace foretrain
