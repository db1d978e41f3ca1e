/// The wall time of a collective once its algorithm and protocol are known: NCCL's structure with measured constants.
///
/// Derivation, fit and limits: docs/models/collective.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "hwmodels/nccl_tuner.h"

namespace foretrain {

/// Time that grows with the size up to `full` and then stays: what it costs to fill channels, chunks and pipelines.
struct Ramp {
  Seconds at_full;
  Bytes full = 1 * bytes;
};

/// time(size) = latency + max(size * per_byte, stall) + ramps. Grows with size.
struct WallCost {
  Seconds latency;                          ///< launch, steps through links and NICs
  Seconds per_byte;                         ///< time of one byte of the size at the bottleneck, links or NICs
  Seconds link_per_byte, network_per_byte;  ///< at each of the two
  Ramp stall;                               ///< waits of the network's protocol, which a long transfer hides
  std::array<Ramp, 3> ramps;
  double link_bytes = 0;     ///< through one GPU's scale-up links, one direction, for each byte of the size
  double leaf_crossing = 0;  ///< part of the network bytes that leave their leaf
  double network_bytes = 0;  ///< out of one GPU's share of the NICs, for each byte of the size
};

/// What a generation of GPUs (or a PCIe node) costs. Times in microseconds; shares of the data sheet's link rate.
struct LinkConstants {
  double launch;  ///< an operation without steps or data, as a stream of them is timed
  double ll_hop;  ///< one step between GPUs of a node, data and flag in one store
  double ll128_hop;
  double simple_hop;    ///< with a fence, a separate flag and a chunk in between
  double simple_setup;  ///< more than LL's launch: more channels and threads
  double ll_share;      ///< bus rate of LL: half of what is stored are flags
  double ll128_share;
  double simple_share;
  double last_step;  ///< part of a step that a ring's local copy and last receive add
  double ring_fill;  ///< of the byte time, until every channel has whole chunks
  double nvls_setup;
  double nvls_share;       ///< of the links, one node of up to 8 heads
  double nvls_tree_share;  ///< ... where the network or more than 8 heads take part
  double nvls_fill;        ///< microseconds until all heads have whole chunks
  double p2p_launch;
  double p2p_simple;  ///< more, once each peer's part has left the LL protocol
  double p2p_share;
  double p2p_fill;  ///< of the byte time
};
enum class LinkClass { volta, ampere, hopper, blackwell, amd, pcie };
inline constexpr std::size_t kLinkClasses = 6;

/// What NCCL's steps over any network cost. Times in microseconds; the latency of the catalogue comes on top.
struct NetworkConstants {
  double ll_overhead;      ///< GPU, proxy thread, NIC and back for one LL step
  double simple_overhead;  ///< the same with a chunk and a flush; the latency counts twice
  double ll_share;         ///< of the NICs' payload rate
  double ll128_share;
  double deep_tree_share;  ///< of the NICs' rate that trees of three and more nodes reach
  double ll_growth;        ///< LL steps are longer by this part once several warps have data
  double peer_fill;        ///< all_to_all: until every remote peer's part is cut into whole chunks
};

/// What one kind of network's transport costs NCCL. Times in microseconds.
struct TransportConstants {
  double message;    ///< between two messages of one rank to its neighbour in a ring: each waits for the one before
  double ll_stall;   ///< wait for one LL message that is too long to be sent before its receiver asks for it
  double stall;      ///< the same for a Simple message of a ring
  double tree_fill;  ///< one level of a tree, down or up, until whole chunks are on their way
  double peer;       ///< each remote peer of all_to_all
  double all_to_all_share;  ///< of the NICs' rate
};

/// All that was measured: plain numbers, so that a fit can vary them (validate/fit_collectives.cc).
struct WallConstants {
  std::array<LinkConstants, kLinkClasses> links;  // by LinkClass
  NetworkConstants network;
  std::array<TransportConstants, kNetworkKindNames.size()> transports;  // by NetworkKind
};
/// The fit to validate/published/collectives, as docs/models/collective.md derives it.
const WallConstants& measured_wall_constants();

WallCost wall_cost(const NcclSystem& system, CollectiveOp op, NcclAlgorithm algorithm, NcclProtocol protocol,
                   const WallConstants& constants);
Seconds wall_time(const WallCost& cost, Bytes size);

/// collective_time with other constants.
CollectiveTime collective_time_with(const WallConstants& constants, CollectiveOp op, Bytes size,
                                    const GroupLayout& group, const ClusterSpec& cluster,
                                    const CollectiveChoice& choice);

}  // namespace foretrain
