/// How fast each part of a cluster still is: its faults, looked up by part.
#pragma once

#include <cstdint>
#include <vector>

#include "hwmodels/cluster.h"

namespace foretrain {

/// Shares of the healthy speed, 1 where nothing is wrong; of several faults of one part the worst. Built once from a
/// cluster whose faults lie inside it.
class ClusterHealth {
 public:
  explicit ClusterHealth(const ClusterSpec& cluster);

  [[nodiscard]] double compute_share(std::int64_t gpu) const { return of(gpus_, gpu); }
  [[nodiscard]] double scale_up_share(std::int64_t gpu) const { return of(scale_up_, gpu); }
  [[nodiscard]] double nic_share(std::int64_t node, std::int64_t nic) const {
    return of(nics_, node * per_node_ + nic);
  }
  [[nodiscard]] double leaf_share(std::int64_t leaf) const { return of(leaves_, leaf); }
  [[nodiscard]] double spine_share(std::int64_t spine) const { return of(spines_, spine); }
  /// Something between nodes is slow or dead.
  [[nodiscard]] bool network_is_faulty() const { return !nics_.empty() || !leaves_.empty() || !spines_.empty(); }

 private:
  static double of(const std::vector<double>& shares, std::int64_t i) {
    return shares.empty() ? 1 : shares[static_cast<std::size_t>(i)];
  }
  std::int64_t per_node_ = 1;
  std::vector<double> gpus_, scale_up_, nics_, leaves_, spines_;  // empty: all healthy
};

}  // namespace foretrain
