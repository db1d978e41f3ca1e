#include "hwmodels/collective_wall.h"

#include <algorithm>
#include <cmath>

namespace foretrain {
namespace {

// By class: launch; ll, ll128, simple hop; simple setup; ll, ll128, simple share; last step, ring fill; nvls setup,
// share, tree share, fill; p2p launch, simple, share, fill. Fitted by validate/fit_collectives.cc; what each stands
// for: collective_wall.h.
constexpr WallConstants kMeasured = {
    .links = {{
        {7.89, 1.49, 1.7, 2.92, 9.01, 0.351, 0.612, 0.992, 0.196, 0.0437, 0, 0, 0, 0, 14, 4, 0.8, 0.1},  // volta
        {7.94, 1.02, 3.01, 3.07, 27.4, 0.357, 0.631, 0.786, 0.446, 0.0379, 0, 0, 0, 0, 12.8, 5.1, 0.674,
         0.198},  // ampere
        {5.14, 0.764, 3.55, 1.94, 10.9, 0.422, 0.863, 0.85, 0.528, 0.0591, 37.7, 0.68, 0.62, 47.5, 7.15, 5.75, 0.761,
         0.183},  // hopper
        {7.53, 1.27, 2.5, 2.58, 9.33, 0.334, 0.612, 0.783, 0.551, 0.0336, 45.5, 0.57, 0.488, 61.9, 10.2, 5.64, 0.604,
         0.175},                                                                               // blackwell
        {6, 0.5, 1.06, 2, 10, 0.37, 0.582, 0.772, 0.291, 0.097, 0, 0, 0, 0, 10, 4, 0.7, 0.2},  // amd
        {4.46, 1.49, 1.4, 2.2, 8.81, 0.412, 0.4, 0.685, 0.097, 0.0419, 0, 0, 0, 0, 9.45, 4.24, 0.55, 0.118},  // pcie
    }},
    .network = {6.74, 8.51, 0.171, 0.901, 0.8, 0.954, 0.574, 0.2, 0.423, 1.86, {0, 0, 95.8, 152, 140, 636}},
};

/// A ring that crosses sockets goes through the processors' link: 22 GB/s on Sapphire Rapids (NCCL, topo.h) and 24
/// measured (RTX PRO 6000, 4 and 8 GPUs).
constexpr BytesPerSecond kSocketLink = 24 * GB_per_s;
/// LL's steps lengthen up to this size, as more warps take part (measured on A100, H100 and B200: 8 to 32 KiB).
constexpr Bytes kLowLatencyFull = 32 * KiB;
/// One rank's part of a ring from which libfabric waits for the receiver (Polaris: 16 to 32 KiB); a tree's chunks on
/// one rail reach it earlier in the size.
constexpr Bytes kEagerMessage = 32 * KiB, kTreeChunks = 1 * MiB;
/// Peers until each costs a whole Simple step (all_to_all on Polaris, 2 to 540 nodes).
constexpr double kManyPeers = 128;

bool is_pcie(IntraNodeFabric f) { return f == IntraNodeFabric::pcie || f == IntraNodeFabric::pcie_no_p2p; }

LinkClass class_of(const NcclSystem& s) {
  if (s.amd_gpu) return LinkClass::amd;
  return is_pcie(s.fabric) ? LinkClass::pcie : static_cast<LinkClass>(s.generation);
}

/// What one GPU's links give this group at `share` of their rate.
BytesPerSecond link_rate(const NcclSystem& s, double share) {
  BytesPerSecond rate = share * s.node_link;
  if (s.fabric == IntraNodeFabric::pcie_no_p2p) rate = 0.5 * rate;  // each byte goes into host memory and out again
  if (is_pcie(s.fabric) && s.ranks_per_node > 2) rate = min(rate, kSocketLink);
  return rate;
}

/// What the NICs of one node give this group: its own rails, and no more than its part of all.
BytesPerSecond network_rate(const NcclSystem& s) {
  return s.network_efficiency * min(s.rails * s.rail, s.node_nics / s.groups);
}

/// One step through the network, in microseconds.
double network_hop(const NcclSystem& s, const NetworkConstants& net, NcclProtocol p) {
  const double wire = s.network_latency / microseconds;
  return p == NcclProtocol::simple ? net.simple_overhead + 2 * wire : net.ll_overhead + wire;
}

/// What a Simple step waits, in microseconds, once its message is too long to be sent before the receiver asks for it.
double stall_us(const NcclSystem& s, const NetworkConstants& net) {
  return net.stall[static_cast<std::size_t>(s.network)];
}

struct Protocol {
  double setup, hop, link_share, network_share;
};
Protocol protocol_of(const LinkConstants& k, const NetworkConstants& net, NcclProtocol p) {
  switch (p) {
    case NcclProtocol::ll:
      return {0, k.ll_hop, k.ll_share, net.ll_share};
    case NcclProtocol::ll128:
      return {0.2 * k.simple_setup, k.ll128_hop, k.ll128_share, net.ll128_share};
    default:
      return {k.simple_setup, k.simple_hop, k.simple_share, 1};
  }
}

/// Byte time at the slower of links and NICs. `node_bytes` leave a node for each byte of the size.
void set_byte_time(const NcclSystem& s, double node_bytes, BytesPerSecond link, BytesPerSecond network, WallCost& w) {
  w.network_bytes = node_bytes / s.ranks_per_node;
  const Seconds through_links = w.link_bytes > 0 ? w.link_bytes * bytes / link : Seconds{};
  const Seconds through_nics = node_bytes > 0 ? node_bytes * bytes / network : Seconds{};
  w.per_byte = max(through_links, through_nics);
}

/// Every rank sends to the next: steps/n of the size pass each link, and once each node's NICs.
WallCost ring_cost(const NcclSystem& s, const LinkConstants& k, const NetworkConstants& net, CollectiveOp op,
                   NcclProtocol p) {
  const Protocol protocol = protocol_of(k, net, p);
  const double steps = ring_steps(op, s.ranks);
  const double net_steps = s.nodes > 1 ? steps / (s.ranks - 1) * (s.nodes - 1) : 0;
  const double volume = op == CollectiveOp::broadcast ? 1 : steps / s.ranks;
  WallCost w;
  w.latency = (k.launch + protocol.setup + (steps - net_steps) * protocol.hop + net_steps * network_hop(s, net, p)) *
              microseconds;
  w.link_bytes = s.ranks_per_node > 1 ? volume + k.last_step / s.ranks : 0;
  set_byte_time(s, s.nodes > 1 ? volume : 0, link_rate(s, protocol.link_share),
                protocol.network_share * network_rate(s), w);
  if (p == NcclProtocol::simple) w.stall = {net_steps * stall_us(s, net) * microseconds, s.ranks * kEagerMessage};
  if (p == NcclProtocol::ll) {
    w.ramps[0] = {net.ll_growth * (steps - net_steps) * protocol.hop * microseconds, kLowLatencyFull};
  } else if (p == NcclProtocol::simple) {  // 2 MiB chunks, twice the channels of the search
    const Bytes full = std::max(2.0, 2 * s.ring.channels) * s.ranks * 2 * MiB;
    w.ramps[0] = {k.ring_fill * (full / bytes) * w.per_byte, full};
  }
  return w;
}

/// Up a chain of the node's GPUs, up and down a double binary tree of nodes, and back: the size passes each link twice.
/// Two nodes exchange it once in each direction; in larger trees an inner node sends it up once and down to its
/// children.
WallCost tree_cost(const NcclSystem& s, const LinkConstants& k, const NetworkConstants& net, NcclProtocol p) {
  const Protocol protocol = protocol_of(k, net, p);
  WallCost w;
  w.latency = (k.launch + protocol.setup + 2 * (s.ranks_per_node - 1) * protocol.hop +
               2 * std::log2(s.nodes) * network_hop(s, net, p)) *
              microseconds;
  w.link_bytes = s.ranks_per_node > 1 ? 2 : 0;
  const double node_bytes = s.nodes > 2 ? 2 : s.nodes > 1 ? 1 : 0;
  const double reach = s.nodes > 2 ? net.deep_tree_share : 1;
  if (p == NcclProtocol::simple)
    w.stall = {2 * std::log2(s.nodes) * stall_us(s, net) * microseconds, s.rails * kTreeChunks};
  set_byte_time(s, node_bytes, link_rate(s, protocol.link_share), reach * protocol.network_share * network_rate(s), w);
  return w;
}

/// The switch reduces and multicasts: a GPU sends its buffer once and its reduced part once more.
WallCost nvls_cost(const NcclSystem& s, const LinkConstants& k, const NetworkConstants& net, CollectiveOp op) {
  const double r = s.ranks_per_node;
  WallCost w;
  const double levels = s.nodes > 1 ? std::log2(s.nodes) : 0;
  w.latency = (k.nvls_setup + 2 * levels * network_hop(s, net, NcclProtocol::simple)) * microseconds;
  w.link_bytes = op == CollectiveOp::all_reduce ? (r + 1) / r : 1;
  const double node_bytes = s.nodes > 2 ? 2 : s.nodes > 1 ? 1 : 0;
  const double reach = s.nodes > 2 ? net.deep_tree_share : 1;
  set_byte_time(s, node_bytes, link_rate(s, s.nodes > 1 || r > 8 ? k.nvls_tree_share : k.nvls_share),
                reach * network_rate(s), w);
  w.stall = {2 * levels * stall_us(s, net) * microseconds, s.rails * kTreeChunks};
  w.ramps[0] = {k.nvls_fill * (1 + net.nvls_tree_fill * levels) * r / 8 * microseconds, r * 8 * MiB};
  return w;
}

/// Every rank sends a part to each other one, or (send_recv) the whole to one.
WallCost p2p_cost(const NcclSystem& s, const LinkConstants& k, const NetworkConstants& net, CollectiveOp op) {
  const bool all = op == CollectiveOp::all_to_all;
  const double n = s.ranks, r = s.ranks_per_node, remote = all ? n - r : s.nodes > 1 ? 1 : 0;
  const bool near =
      s.network == NetworkKind::infiniband || s.network == NetworkKind::roce || s.network == NetworkKind::efa;
  WallCost w;
  const double peer = std::clamp(remote / kManyPeers, net.least_peer, 1.0) * network_hop(s, net, NcclProtocol::simple);
  w.latency = (k.p2p_launch + (remote > 0 ? network_hop(s, net, NcclProtocol::ll) : 0)) * microseconds;
  if (all) w.stall = {remote * peer * microseconds, 1 * bytes};  // peers are served beside the transfer
  w.link_bytes = all ? (r > 1 ? (r - 1 + 0.5 * k.last_step) / n : 0) : remote > 0 ? 0 : 1;
  const double node_bytes = all ? r * remote / n : remote;
  BytesPerSecond network = network_rate(s);
  if (!all) network = s.network_efficiency * min(s.rail, s.node_nics / s.groups);
  // Only all-to-all leaves its leaf with most of its bytes; rings and trees cross few times.
  const double crossing = std::max(0.0, 1 - s.nodes_per_leaf / s.nodes);
  const double reach = near ? net.all_to_all_near : all ? net.all_to_all_far : 1;
  network = reach / std::max(1.0, crossing * s.oversubscription) * network;
  set_byte_time(s, node_bytes, link_rate(s, k.p2p_share), network, w);
  if (!all) w.network_bytes = node_bytes;
  if (all) {
    w.ramps[0] = {k.p2p_simple * microseconds, n * 64 * KiB};
    w.ramps[1] = {k.p2p_fill * (n * 8 * MiB / bytes) * w.per_byte, n * 8 * MiB};
  }
  return w;
}

}  // namespace

const WallConstants& measured_wall_constants() { return kMeasured; }

WallCost wall_cost(const NcclSystem& s, CollectiveOp op, NcclAlgorithm algorithm, NcclProtocol protocol,
                   const WallConstants& constants) {
  const LinkConstants& k = constants.links[static_cast<std::size_t>(class_of(s))];
  const NetworkConstants& net = constants.network;
  switch (algorithm) {
    case NcclAlgorithm::ring:
      return ring_cost(s, k, net, op, protocol);
    case NcclAlgorithm::tree:
      return tree_cost(s, k, net, protocol);
    case NcclAlgorithm::nvls:
    case NcclAlgorithm::nvls_tree:
      return nvls_cost(s, k, net, op);
    default:
      return p2p_cost(s, k, net, op);
  }
}

Seconds wall_time(const WallCost& c, Bytes size) {
  const Seconds stall = std::min(1.0, size / c.stall.full) * c.stall.at_full;
  Seconds t = c.latency + max(stall, (size / bytes) * c.per_byte);
  for (const Ramp& ramp : c.ramps) t += std::min(1.0, size / ramp.full) * ramp.at_full;
  return t;
}

}  // namespace foretrain
