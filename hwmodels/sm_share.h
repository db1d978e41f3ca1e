/// What a running collective takes from the kernels beside it.
#pragma once

#include <algorithm>

#include "hwmodels/cluster.h"
#include "hwmodels/collective_time.h"

namespace foretrain {

/// Channels of an NCCL communicator as 2.28.9's search finds them on one node and on several
/// (docs/models/collective.md): Volta 12 / 8, Ampere 24 / 16, Hopper 24 / 16, Blackwell 32 / 16. Others: assumed as
/// Ampere.
inline std::int64_t nccl_channels(const GroupLayout& group, const ClusterSpec& cluster) {
  const bool one_node = group.ranks <= group.ranks_per_node;
  const int capability = cluster.gpu.compute_capability;
  if (capability == 70) return one_node ? 12 : 8;
  if (capability >= 100 && one_node) return 32;
  return one_node ? 24 : 16;
}

/// Share of a GPU's SMs that NCCL holds while a collective of `group` runs: one thread block, and with it one SM, for
/// each channel. Kernels that run at the same time have the rest.
inline double sm_share(const GroupLayout& group, const ClusterSpec& cluster) {
  if (group.ranks <= 1 || cluster.gpu.sm_count <= 0) return 0;
  const double channels = static_cast<double>(nccl_channels(group, cluster));
  return std::min(0.5, channels / static_cast<double>(cluster.gpu.sm_count));
}

}  // namespace foretrain
