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
        {7.65, 2.22, 1.7, 2.83, 8.48, 0.402, 0.612, 0.962, 0.162, 0.0394, 0, 0, 0, 0, 14, 4, 0.8, 0.1},  // volta
        {8.43, 0.948, 3.1, 2.98, 27.4, 0.346, 0.631, 0.786, 0.446, 0.0327, 0, 0, 0, 0, 12.8, 5.84, 0.674,
         0.218},  // ampere
        {5.14, 0.787, 3.77, 1.82, 10.6, 0.422, 0.916, 0.85, 0.528, 0.0591, 37.7, 0.68, 0.62, 50.4, 7.15, 5.58, 0.761,
         0.208},  // hopper
        {7.53, 1.27, 2.58, 2.91, 9.05, 0.334, 0.612, 0.783, 0.551, 0.0282, 46.9, 0.57, 0.473, 65.7, 10.2, 5.64, 0.604,
         0.165},                                                                               // blackwell
        {6, 0.5, 1.06, 2, 10, 0.37, 0.582, 0.772, 0.291, 0.097, 0, 0, 0, 0, 10, 4, 0.7, 0.2},  // amd
        {4.46, 1.49, 1.4, 2.2, 9.34, 0.412, 0.4, 0.685, 0.097, 0.0378, 0, 0, 0, 0, 9.45, 4.37, 0.55, 0.13},  // pcie
    }},
    .network = {5.66, 9.03, 0.194, 0.956, 0.85, 0.186, 60.4},
    // message, ll_stall, stall, tree_fill, peer, all_to_all_share; Omni-Path as Slingshot
    .transports = {{{1, 1.03, 1, 40, 4.92, 0.887},         // infiniband
                    {1, 1, 1, 40, 4.6, 0.954},             // roce
                    {3, 5.15, 10, 113, 8, 0.9},            // efa
                    {7.57, 22.3, 36.1, 130, 11.3, 0.496},  // slingshot
                    {7.57, 22.3, 36.1, 130, 11.3, 0.496},  // omni_path
                    {10, 31, 60, 300, 25, 0.7},            // ethernet_tcp
                    {3, 5, 10, 308, 8, 0.9},               // efa_v1
                    {10.3, 46.9, 58.3, 380, 25, 0.9},      // gpudirect_tcpx
                    {6.59, 9.41, 8.14, 333, 12, 0.9}}},    // gpudirect_tcpxo
};

/// A ring that crosses sockets goes through the processors' link: 22 GB/s on Sapphire Rapids (NCCL, topo.h) and 24
/// measured (RTX PRO 6000, 4 and 8 GPUs).
constexpr BytesPerSecond kSocketLink = 24 * GB_per_s;
/// What the GPUs of one socket send to the other together: 4 of 8 RTX PRO 6000 send half of 512 MiB each in 25.5 ms
/// (all_to_all).
constexpr BytesPerSecond kBetweenSockets = 42 * GB_per_s;
/// LL's steps lengthen up to this size, as more warps take part (measured on A100, H100 and B200: 8 to 32 KiB).
constexpr Bytes kLowLatencyFull = 32 * KiB;
/// One rank's part of a ring from which libfabric waits for the receiver (Polaris, 2 to 540 nodes: it begins at 8 KiB
/// and is whole at 16 to 32 KiB).
constexpr Bytes kEagerMessage = 32 * KiB;
/// On one rail: LL's chunks of a tree that no longer fit, and Simple's until every level has whole ones.
constexpr Bytes kTreeLowLatency = 32 * KiB, kTreeChunks = 4 * MiB;

LinkClass class_of(const NcclSystem& s) {
  if (s.amd_gpu) return LinkClass::amd;
  return is_pcie(s.fabric) ? LinkClass::pcie : static_cast<LinkClass>(s.generation);
}

/// What one GPU's links give this group at `share` of their rate.
BytesPerSecond link_rate(const NcclSystem& s, double share) {
  BytesPerSecond rate = share * s.node_link;
  if (s.fabric == IntraNodeFabric::pcie_no_p2p) rate = 0.5 * rate;  // each byte goes into host memory and out again
  if (is_pcie(s.fabric) && s.crosses_sockets) rate = min(rate, kSocketLink);
  return rate;
}

/// What the NICs of one node give this group: its own rails, and no more than its part of all, nor of what the node's
/// processors copy where data goes through sockets.
BytesPerSecond network_rate(const NcclSystem& s, BytesPerSecond own_rails) {
  const BytesPerSecond nics = s.network_efficiency * min(own_rails, s.node_nics / s.groups);
  return s.host_bandwidth.base() > 0 ? min(nics, s.host_bandwidth / s.groups) : nics;
}
BytesPerSecond network_rate(const NcclSystem& s) { return network_rate(s, s.rails * s.rail); }

/// One step through the network, in microseconds.
double network_hop(const NcclSystem& s, const NetworkConstants& net, NcclProtocol p) {
  const double wire = s.network_latency / microseconds;
  return p == NcclProtocol::simple ? net.simple_overhead + 2 * wire : net.ll_overhead + wire;
}

const TransportConstants& transport_of(const NcclSystem& s, const WallConstants& constants) {
  return constants.transports[static_cast<std::size_t>(s.network)];
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

/// Byte time at the slowest of links, NICs and up-links. `node_bytes` leave a node for each byte of the size,
/// `crossing` of them their leaf, whose up-links carry 1 / oversubscription of what its nodes can send.
void set_byte_time(const NcclSystem& s, double node_bytes, double crossing, BytesPerSecond link, BytesPerSecond network,
                   WallCost& w) {
  w.network_bytes = node_bytes / s.ranks_per_node;
  w.leaf_crossing = node_bytes > 0 ? crossing : 0;
  network = network / std::max(1.0, w.leaf_crossing * s.oversubscription);
  const Seconds through_links = w.link_bytes > 0 ? w.link_bytes * bytes / link : Seconds{};
  const Seconds through_nics = node_bytes > 0 ? node_bytes * bytes / network : Seconds{};
  w.link_per_byte = through_links;
  w.network_per_byte = through_nics;
  w.per_byte = max(through_links, through_nics);
}

/// Every rank sends to the next: steps/n of the size pass each link, and once each node's NICs. Each link between nodes
/// passes one message for each step of the ring, N-1 of n-1 of them one after the other.
WallCost ring_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants, CollectiveOp op,
                   NcclProtocol p) {
  const NetworkConstants& net = constants.network;
  const TransportConstants& transport = transport_of(s, constants);
  const Protocol protocol = protocol_of(k, net, p);
  const double steps = ring_steps(op, s.ranks);
  const double net_steps = s.nodes > 1 ? steps / (s.ranks - 1) * (s.nodes - 1) : 0;
  const double volume = op == CollectiveOp::broadcast ? 1 : steps / s.ranks;
  const double one_by_one = (steps - net_steps) * protocol.hop + net_steps * network_hop(s, net, p);
  const double messages = s.nodes > 1 ? steps : 0;
  WallCost w;
  w.latency = (k.launch + protocol.setup + std::max(one_by_one, messages * transport.message)) * microseconds;
  w.link_bytes = s.ranks_per_node > 1 ? volume + k.last_step / s.ranks : 0;
  set_byte_time(s, s.nodes > 1 ? volume : 0, s.neighbours_crossing, link_rate(s, protocol.link_share),
                protocol.network_share * network_rate(s), w);
  const double stall = p == NcclProtocol::simple ? transport.stall : transport.ll_stall;
  w.stall = {messages * stall * microseconds, s.ranks * kEagerMessage};
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
WallCost tree_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants, NcclProtocol p) {
  const NetworkConstants& net = constants.network;
  const TransportConstants& transport = transport_of(s, constants);
  const Protocol protocol = protocol_of(k, net, p);
  const double levels = 2 * std::log2(s.nodes);
  WallCost w;
  w.latency =
      (k.launch + protocol.setup + 2 * (s.ranks_per_node - 1) * protocol.hop + levels * network_hop(s, net, p)) *
      microseconds;
  w.link_bytes = s.ranks_per_node > 1 ? 2 : 0;
  const double node_bytes = s.nodes > 2 ? 2 : s.nodes > 1 ? 1 : 0;
  const double reach = s.nodes > 2 ? net.deep_tree_share : 1;
  set_byte_time(s, node_bytes, s.neighbours_crossing, link_rate(s, protocol.link_share),
                reach * protocol.network_share * network_rate(s), w);
  w.ramps[0] = p == NcclProtocol::simple ? Ramp{levels * transport.tree_fill * microseconds, s.rails * kTreeChunks}
                                         : Ramp{levels * transport.ll_stall * microseconds, s.rails * kTreeLowLatency};
  return w;
}

/// The switch reduces and multicasts: a GPU sends its buffer once and its reduced part once more.
WallCost nvls_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants, CollectiveOp op,
                   NcclAlgorithm a) {
  const NetworkConstants& net = constants.network;
  const double r = s.ranks_per_node;
  // Where the network's switches reduce, a head sends up and receives once, whatever the number of nodes.
  const double levels = s.nodes <= 1 ? 0 : a == NcclAlgorithm::nvls ? 1 : 2 * std::log2(s.nodes);
  WallCost w;
  w.latency = (k.nvls_setup + levels * network_hop(s, net, NcclProtocol::simple)) * microseconds;
  w.link_bytes = op == CollectiveOp::all_reduce ? (r + 1) / r : 1;
  const bool deep = s.nodes > 2 && a == NcclAlgorithm::nvls_tree;
  const double node_bytes = deep ? 2 : s.nodes > 1 ? 1 : 0;
  const double reach = deep ? net.deep_tree_share : 1;
  set_byte_time(s, node_bytes, s.neighbours_crossing,
                link_rate(s, s.nodes > 1 || r > 8 ? k.nvls_tree_share : k.nvls_share), reach * network_rate(s), w);
  w.ramps[0] = {k.nvls_fill * r / 8 * microseconds, r * 8 * MiB};
  w.ramps[1] = {levels * transport_of(s, constants).tree_fill * microseconds, s.rails * kTreeChunks};
  return w;
}

/// Switches of the network reduce what each node sends up once and send the sum down. Inside the node the GPUs gather
/// parts of it at the NICs' GPUs all at once (direct), or pass it on from one to the next (chain). No measurement:
/// steps and shares are the ring's.
WallCost collnet_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants, CollectiveOp op,
                      bool direct) {
  const double r = s.ranks_per_node;
  const bool gathers = op != CollectiveOp::all_reduce;
  const double hops = r <= 1 ? 0 : direct ? 2 : 2 * (r - 1);
  WallCost w;
  w.latency =
      (k.launch + k.simple_setup + hops * k.simple_hop + 2 * network_hop(s, constants.network, NcclProtocol::simple)) *
      microseconds;
  w.link_bytes = r <= 1 ? 0 : gathers ? (r - 1) / r : direct ? 2 * (r - 1) / r : 2;
  set_byte_time(s, gathers ? (s.nodes - 1) / s.nodes : 1, s.neighbours_crossing, link_rate(s, k.simple_share),
                network_rate(s), w);
  w.ramps[0] = {transport_of(s, constants).tree_fill * microseconds, s.rails * kTreeChunks};
  return w;
}

/// NCCL's parallel aggregated trees, one GPU a node: log2(N) messages one after the other, a part for each rank that
/// grows with their number, and three quarters of a ring's rate. NCCL's own figures (tuning.cc): no measurement.
WallCost pat_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants) {
  constexpr double kEachRank = 2.8, kShare = 0.75;
  WallCost w;
  w.latency = (k.launch + k.simple_setup +
               std::log2(s.nodes) * network_hop(s, constants.network, NcclProtocol::simple) + kEachRank * s.ranks) *
              microseconds;
  set_byte_time(s, (s.ranks - 1) / s.ranks, s.all_crossing, link_rate(s, k.simple_share), kShare * network_rate(s), w);
  return w;
}

/// Every rank sends a part to each other one, or (send_recv) the whole to one.
WallCost p2p_cost(const NcclSystem& s, const LinkConstants& k, const WallConstants& constants, CollectiveOp op) {
  const NetworkConstants& net = constants.network;
  const TransportConstants& transport = transport_of(s, constants);
  const bool all = op == CollectiveOp::all_to_all;
  const double n = s.ranks, r = s.ranks_per_node, remote = all ? n - r : s.nodes > 1 ? 1 : 0;
  WallCost w;
  w.latency = (k.p2p_launch + (remote > 0 ? network_hop(s, net, NcclProtocol::ll) : 0)) * microseconds;
  if (all) w.stall = {remote * transport.peer * microseconds, 1 * bytes};  // peers are served beside the transfer
  w.link_bytes = all ? (r > 1 ? (r - 1 + 0.5 * k.last_step) / n : 0) : remote > 0 ? 0 : 1;
  const double node_bytes = all ? r * remote / n : remote;
  const BytesPerSecond network = all ? transport.all_to_all_share * network_rate(s) : network_rate(s, s.rail);
  BytesPerSecond link = link_rate(s, k.p2p_share);
  // Half of what a GPU sends goes to the other socket, beside what its socket's other GPUs send there.
  if (all && is_pcie(s.fabric) && s.crosses_sockets && r > 4) link = min(link, 4 * (r - 1) / (r * r) * kBetweenSockets);
  set_byte_time(s, node_bytes, all ? s.all_crossing : s.neighbours_crossing, link, network, w);
  if (!all) {
    w.network_bytes = node_bytes;
    return w;
  }
  w.ramps[0] = {k.p2p_simple * microseconds, n * 64 * KiB};
  w.ramps[1] = {k.p2p_fill * (n * 8 * MiB / bytes) * (w.link_bytes * bytes / link), n * 8 * MiB};
  if (remote > 0) w.ramps[2] = {net.peer_fill * microseconds, n * 128 * KiB};
  return w;
}

}  // namespace

const WallConstants& measured_wall_constants() { return kMeasured; }

WallCost wall_cost(const NcclSystem& s, CollectiveOp op, NcclAlgorithm algorithm, NcclProtocol protocol,
                   const WallConstants& constants) {
  const LinkConstants& k = constants.links[static_cast<std::size_t>(class_of(s))];
  switch (algorithm) {
    case NcclAlgorithm::ring:
      return ring_cost(s, k, constants, op, protocol);
    case NcclAlgorithm::tree:
      return tree_cost(s, k, constants, protocol);
    case NcclAlgorithm::nvls:
    case NcclAlgorithm::nvls_tree:
      return nvls_cost(s, k, constants, op, algorithm);
    case NcclAlgorithm::collnet_direct:
    case NcclAlgorithm::collnet_chain:
      return collnet_cost(s, k, constants, op, algorithm == NcclAlgorithm::collnet_direct);
    case NcclAlgorithm::pat:
      return pat_cost(s, k, constants);
    default:
      return p2p_cost(s, k, constants, op);
  }
}

Seconds wall_time(const WallCost& c, Bytes size) {
  const Seconds stall = std::min(1.0, size / c.stall.full) * c.stall.at_full;
  Seconds t = c.latency + max(stall, (size / bytes) * c.per_byte);
  for (const Ramp& ramp : c.ramps) t += std::min(1.0, size / ramp.full) * ramp.at_full;
  return t;
}

}  // namespace foretrain
