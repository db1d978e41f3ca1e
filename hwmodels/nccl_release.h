/// How NCCL's tuner changed from release to release: the constants that decide between algorithms and protocols.
#pragma once

#include <array>

#include "hwmodels/nccl.h"

namespace foretrain {

/// Microseconds or GB/s for LL, LL128 and Simple.
using PerProtocol = std::array<double, 3>;

/// How the tuner rates NVLink SHARP: not at all; 2.17's three quarters of the ring's bus; 2.18's five sixths, of trees
/// 0.7 N / 2(N-1); 2.19's five sixths of the slower of links and NICs; 2.28's efficiency of each generation.
enum class NvlsRating { none, of_ring, five_sixths, slower_side, by_generation };

/// The tuner's constants from one release on. Latencies in microseconds.
struct NcclRelease {
  NcclVersion from;
  PerProtocol tree_base, ring_base;      ///< of a whole operation
  PerProtocol tree_nvlink, ring_nvlink;  ///< one step inside a node
  PerProtocol tree_pcie, ring_pcie;
  PerProtocol tree_net, ring_net;  ///< one step between nodes
  double ll_share;                 ///< ring LL over what Simple reaches on the bus
  double ll_share_gathers;         ///< ... for what is not an all_reduce, on one node
  double ll128_share_alone;        ///< ring LL128 over Simple, where a node has one rank of the group; else 0.92
  double ampere_bus_most, hopper_bus_most;  ///< GB/s that any algorithm reaches on the bus; 0: no such cap
  bool extra_net_steps;                     ///< an all-reduce's ring counts 2N steps between nodes; else 2(N-1)
  bool exposed_latency;             ///< with one rank a node, a ring's step between nodes takes as long as a tree's
  double chain_tree;                ///< trees that lead through a node's GPUs as one chain, over others
  double ll_slower_over_nodes;      ///< LL's steps inside a node take this much longer where there are several nodes
  bool net_overhead;                ///< steps inside a node wait for the proxy that serves those between nodes
  int newest_ll128;                 ///< compute capability up to which LL128 is on by default
  double hopper_ll_most;            ///< LL's cap on one Hopper node, GB/s
  double ring_plateau;              ///< long all-reduces over nodes: the ring's latency from Ampere on, times this
  double tree_most_two, tree_most;  ///< GB/s that trees of two nodes and of more reach on the bus; 0: no such cap
  NvlsRating nvls;
  double nvls_hop, nvls_tree_net;
  bool nvls_gathers;     ///< all_gather and reduce_scatter may take NVLS
  bool collnet_gathers;  ///< ... and CollNetDirect
  bool pat;
  bool doubled_hopper;  ///< Blackwell's caps are Hopper's twice
};

/// The constants in force in `version`: those of the newest release that is not newer.
/// Source: NVIDIA/nccl, tags v2.5.6-1 to v2.28.9-1, src/graph/tuning.cc and tuning tables beside it (facts only).
const NcclRelease& nccl_release(NcclVersion version);

}  // namespace foretrain
