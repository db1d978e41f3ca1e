#include "hwmodels/sm_share.h"

#include <algorithm>
#include <cmath>

#include "hwmodels/nccl_tuner.h"

namespace foretrain {
namespace {

constexpr NcclVersion kMoreChannels = {2, 25, 0};  // MAXCHANNELS 64

std::int64_t power_of_two_up(double x) {
  std::int64_t power = 1;
  while (static_cast<double>(power) < x) power *= 2;
  return power;
}

/// Send and receive with one peer: NVLinks of NCCL's 20 GB/s lead to it on a mesh or through switches.
std::int64_t peer_blocks(const NcclSystem& s, const ClusterSpec& cluster) {
  const bool nvlink =
      cluster.node.fabric != IntraNodeFabric::pcie && cluster.node.fabric != IntraNodeFabric::pcie_no_p2p;
  if (s.nodes > 1 || !nvlink) return 2;
  const bool switched = cluster.node.fabric == IntraNodeFabric::nvswitch;
  const double peers = switched ? 1 : static_cast<double>(std::max<std::int64_t>(1, cluster.node.gpus_per_node - 1));
  const double one_link = (s.generation == NcclGeneration::blackwell ? 50.0 : 25.0);  // data sheet, one direction
  const double links = std::floor(cluster.node.scale_up_bandwidth / peers / (one_link * GB_per_s) + 1e-9);
  return std::min<std::int64_t>(32, power_of_two_up(2 * std::max(1.0, links)));
}

}  // namespace

std::int64_t nccl_channels(const GroupLayout& group, const ClusterSpec& cluster) {
  if (group.ranks <= 1) return 0;
  const NcclSystem s = nccl_system(group, cluster);
  const std::int64_t most = cluster.nccl.version < kMoreChannels ? 32 : 64;
  const auto searched = static_cast<std::int64_t>(s.ring.channels);
  std::int64_t channels = std::min(most, 2 * searched);
  if (s.nodes > 1 && s.generation >= NcclGeneration::hopper && s.ring.intra > 45 * GB_per_s && channels < 16)
    channels *= 2;
  return channels;
}

std::int64_t nccl_blocks(CollectiveOp op, NcclAlgorithm algorithm, const GroupLayout& group,
                         const ClusterSpec& cluster) {
  if (group.ranks <= 1) return 0;
  const bool one_node = group.ranks <= group.ranks_per_node;
  if (algorithm == NcclAlgorithm::nvls || algorithm == NcclAlgorithm::nvls_tree) {
    if (cluster.gpu.compute_capability < 100) return 16;
    return one_node ? 24 : 32;
  }
  if (op == CollectiveOp::send_recv) return peer_blocks(nccl_system(group, cluster), cluster);
  if (op == CollectiveOp::all_to_all && one_node) return 32;
  if (one_node) return nccl_channels(group, cluster);
  const std::int64_t whole = std::max(group.ranks_per_node, cluster.node.gpus_per_node);
  return nccl_channels({.ranks = 2 * whole, .ranks_per_node = whole}, cluster);
}

double sm_share(std::int64_t blocks, const GpuSpec& gpu) {
  if (blocks <= 0 || gpu.sm_count <= 0) return 0;
  return std::min(0.5, static_cast<double>(blocks) / static_cast<double>(gpu.sm_count));
}

}  // namespace foretrain
