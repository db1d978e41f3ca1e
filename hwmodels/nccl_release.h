/// How NCCL's tuner changed from release to release: the constants that decide between algorithms and protocols.
#pragma once

#include <array>

#include "hwmodels/nccl.h"

namespace foretrain {

/// Microseconds or GB/s for LL, LL128 and Simple.
using PerProtocol = std::array<double, 3>;

/// The tuner's constants from one release on. Latencies in microseconds.
struct NcclRelease {
  NcclVersion from;
  PerProtocol tree_base, ring_base;      ///< of a whole operation
  PerProtocol tree_nvlink, ring_nvlink;  ///< one step inside a node
  PerProtocol tree_pcie, ring_pcie;
  PerProtocol tree_net, ring_net;   ///< one step between nodes
  double ll_share;                  ///< ring LL over what Simple reaches on the bus
  double ll_slower_over_nodes;      ///< LL's steps inside a node take this much longer where there are several nodes
  bool net_overhead;                ///< steps inside a node wait for the proxy that serves those between nodes
  int newest_ll128;                 ///< compute capability up to which LL128 is on by default
  double hopper_ll_most;            ///< LL's cap on one Hopper node, GB/s
  double ring_plateau;              ///< long all-reduces over nodes: the ring's latency from Ampere on, times this
  double tree_most_two, tree_most;  ///< GB/s that trees of two nodes and of more reach on the bus; 0: no such cap
  bool nvls;
  double nvls_hop, nvls_tree_net;
  bool doubled_hopper;  ///< Blackwell's caps are Hopper's twice
};

/// The constants in force in `version`: those of the newest release that is not newer.
/// Source: NVIDIA/nccl, tags v2.5.6-1 to v2.28.9-1, src/graph/tuning.cc and tuning tables beside it (facts only).
const NcclRelease& nccl_release(NcclVersion version);

}  // namespace foretrain
