/// NCCL's own prediction of a collective, which decides its algorithm and protocol: the structure of NCCL 2.28.9,
/// and of the releases before it where theirs was another (nccl_release.h).
///
/// It ranks; it does not predict wall time (20-30 % too fast on measured runs): that is collective_wall.h.
/// Source of every constant and formula: NVIDIA/nccl v2.28.9, src/graph/tuning.cc, topo.h and search.cc (facts only).
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"
#include "hwmodels/collective_time.h"

namespace foretrain {

struct NcclRelease;

/// NCCL's tuning tables have one row for each of these; AMD GPUs (RCCL) take Ampere's.
enum class NcclGeneration { volta, ampere, hopper, blackwell };

/// What NCCL's graph search finds: so many channels, each so fast inside and between nodes.
struct NcclGraph {
  double channels = 0;
  BytesPerSecond intra;  ///< one channel
  BytesPerSecond inter;  ///< one channel; equals intra on one node
};

/// A communicator as NCCL's tuner sees it.
struct NcclSystem {
  NcclGeneration generation = NcclGeneration::hopper;
  const NcclRelease* release = nullptr;
  int compute_capability = 90;
  bool amd_gpu = false;
  HostCpu cpu = HostCpu::intel;
  IntraNodeFabric fabric = IntraNodeFabric::nvswitch;
  NetworkKind network = NetworkKind::infiniband;
  Seconds network_latency;   ///< NIC to NIC
  Seconds reported_latency;  ///< what NCCL is told of it
  BytesPerSecond host_bandwidth;
  double network_efficiency = 1, oversubscription = 1;
  double ranks = 1, nodes = 1, ranks_per_node = 1;  ///< a node is an NVLink domain
  double rails = 1;                                 ///< NICs that this group can use at once from one node
  BytesPerSecond rail;                              ///< line rate of one of them
  BytesPerSecond node_nics;                         ///< line rate of all NICs of the node, shared by `groups`
  double groups = 1;
  BytesPerSecond node_link;      ///< what scale-up links give one GPU towards the others of this group
  bool crosses_sockets = false;  ///< some of the node's ranks are on other sockets than others
  bool near_nic = true;          ///< the NICs are below the GPUs' own PCIe switches
  NcclGraph ring, tree, nvls;
  bool chain_tree = false;                           ///< its trees lead through a node's GPUs as one chain
  bool collnet = false;                              ///< switches of the network reduce (SHARP)
  double neighbours_crossing = 0, all_crossing = 0;  ///< part of a ring's or tree's, and of all_to_all's, network bytes
                                                     ///< that leave their leaf
};

NcclSystem nccl_system(const GroupLayout& group, const ClusterSpec& cluster);

/// NCCL's estimate of one algorithm and protocol: latency + size / (bandwidth * correction by size).
struct NcclCost {
  bool possible = false;
  Seconds latency;
  BytesPerSecond bandwidth;  ///< algorithm bandwidth: size over time
  Seconds long_latency;      ///< in place of latency from `long_from` on
  Bytes long_from;
  /// Of trees, 64 B to 256 MiB by powers of two; null: 1.
  const std::array<double, 23>* correction = nullptr;
};
/// `named`: the environment names the protocol, which then needs no more than NVLink or PCIe to carry it (LL128).
NcclCost nccl_cost(const NcclSystem& system, CollectiveOp op, NcclAlgorithm algorithm, NcclProtocol protocol,
                   bool named = false);

inline Seconds nccl_latency(const NcclCost& cost, Bytes size) {
  return size >= cost.long_from ? cost.long_latency : cost.latency;
}
/// NCCL's estimate for a size from 2^octave bytes on, less than twice that.
inline Seconds nccl_estimate(const NcclCost& cost, int octave, Bytes size) {
  const bool corrected = cost.correction != nullptr && octave < 29;
  const double correction = corrected ? (*cost.correction)[static_cast<std::size_t>(octave < 6 ? 0 : octave - 6)] : 1;
  return nccl_latency(cost, size) + size / (correction * cost.bandwidth);
}

/// Ring steps of an operation: 2(n-1) for all_reduce, n-1 for the others.
double ring_steps(CollectiveOp op, double ranks);

}  // namespace foretrain
