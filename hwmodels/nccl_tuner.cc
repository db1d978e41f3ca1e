#include "hwmodels/nccl_tuner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "hwmodels/nccl_release.h"
#include "hwmodels/node_map.h"
#include "hwmodels/node_routes.h"

namespace foretrain {
namespace {

using PerScale = std::array<double, 3>;  // 1 node, 2 nodes, more

// GB/s in 2.28.9 (tuning.cc: llMaxBws, perChMaxRingLL128Bws, perChMaxTreeBws, perChMaxTreeLL128Bws,
// perChMaxNVLSTreeBws), by generation.
constexpr std::array<PerScale, 4> kLowLatencyMost = {{{39, 39, 20.4}, {87.7, 22.5, 19}, {141, 45, 35}, {282, 90, 70}}};
constexpr std::array<PerScale, 4> kRing128Most = {{{20, 20, 20}, {20, 20, 20}, {36.7, 36.7, 36.7}, {73.4, 34.6, 73.4}}};
constexpr std::array<PerScale, 4> kTreeMost = {{{26.5, 18.5, 10}, {24, 23.6, 17.8}, {38.7, 41.4, 36}, {70, 42.8, 24}}};
constexpr std::array<PerScale, 4> kTree128Most = {{{20, 20, 20}, {20, 20, 20}, {36.7, 36.7, 29}, {55.6, 31.67, 20}}};
constexpr std::array<PerScale, 4> kNvlsTreeMost = {{{0, 0, 0}, {0, 0, 0}, {0, 57.7, 45.5}, {0, 96, 43.8}}};

// tuning.cc: treeCorrectionFactor, 64 B to 256 MiB by powers of two.
constexpr std::array<std::array<double, 23>, 3> kTreeCorrection = {
    {{1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1},
     {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1},
     {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9}}};

// search.cc: speeds tried for one channel, GB/s, fastest first.
constexpr std::array kIntraSpeeds = {40., 30., 20., 18., 15., 12., 10., 9., 7., 6., 5., 4., 3.};
constexpr std::array kInterSpeeds = {48., 30., 28., 24., 20., 18., 15., 12., 10., 9., 7., 6., 5., 4., 3., 2.4, 1.2};
constexpr std::array kIntraSpeedsHopper = {60., 50., 40., 30., 24., 20., 15., 12., 11., 6., 3.};
constexpr std::array kInterSpeedsHopper = {48., 45., 42., 40., 30., 24., 22., 20., 17.5, 15., 12., 6., 3., 2.4, 1.2};
constexpr std::array kIntraSpeedsBlackwell = {90., 80., 70., 60., 50., 40., 30., 24., 20., 19., 18.};
constexpr std::array kInterSpeedsBlackwell = {96., 48.,  45.1, 42., 40., 30., 24., 22.,
                                              20., 17.5, 15.,  12., 6.,  3.,  2.4, 1.2};

std::size_t scale_of(double nodes) { return nodes <= 1 ? 0 : nodes <= 2 ? 1 : 2; }
std::size_t row(NcclGeneration g) { return static_cast<std::size_t>(g); }
std::size_t index(NcclProtocol p) { return static_cast<std::size_t>(p); }

NcclGeneration generation_of(const GpuSpec& gpu) {
  if (gpu.compute_capability >= 100) return NcclGeneration::blackwell;
  if (gpu.compute_capability >= 90) return NcclGeneration::hopper;
  if (gpu.compute_capability >= 80 || gpu.compute_capability == 0) return NcclGeneration::ampere;
  return NcclGeneration::volta;
}

/// NCCL's figure for one NVLink over the data sheet's 25 or 50 GB/s (topo.h: 20, 20.6 and 40.1 GB/s); for xGMI, PCIe
/// the same allowance as for Ampere.
double nccl_link_share(NcclGeneration g) {
  switch (g) {
    case NcclGeneration::hopper:
      return 20.6 / 25;
    case NcclGeneration::blackwell:
      return 40.1 / 50;
    default:
      return 20.0 / 25;
  }
}

/// The search rarely goes on to slow channels once this many have a path; then they are split and doubled.
constexpr double kMostSearched = 16;

template <std::size_t N>
double largest_total(const std::array<double, N>& speeds, double limit, double& channels) {
  double best = 0, speed = 0;
  for (const double s : speeds) {
    const double count = std::min(std::floor(limit / s + 1e-9), kMostSearched);
    if (count * s > best + 1e-9) {
      best = count * s;
      speed = s;
      channels = count;
    }
  }
  return speed;
}

/// Channels and speed for a ring or tree inside a node whose links give `limit` GB/s to each GPU.
NcclGraph search_intra(NcclGeneration g, double limit) {
  double channels = 1;
  double speed = g == NcclGeneration::blackwell ? largest_total(kIntraSpeedsBlackwell, limit, channels)
                 : g == NcclGeneration::hopper  ? largest_total(kIntraSpeedsHopper, limit, channels)
                                                : largest_total(kIntraSpeeds, limit, channels);
  if (speed <= 0) speed = limit;
  if (speed >= 25) {  // search.cc: fast channels are split in two
    speed /= 2;
    channels *= 2;
  }
  return {channels, speed * GB_per_s, speed * GB_per_s};
}

template <std::size_t N>
double fastest_within(const std::array<double, N>& speeds, double limit) {
  for (const double s : speeds)
    if (s <= limit + 1e-9) return s;
  return limit;
}

double inter_speed(NcclGeneration g, double limit) {
  return g == NcclGeneration::blackwell ? fastest_within(kInterSpeedsBlackwell, limit)
         : g == NcclGeneration::hopper  ? fastest_within(kInterSpeedsHopper, limit)
                                        : fastest_within(kInterSpeeds, limit);
}

/// Rings that the GPUs 0..n-1 of a DGX-1 (hybrid cube mesh of 6 NVLinks each) can close, one link wide. Worked out from
/// its links: 0-1 1, 0-2 1, 0-3 2, 0-4 2, 1-2 2, 1-3 1, 1-5 2, 2-3 1, 2-6 2, 3-7 2 and the same in the other quad. With
/// 5 GPUs the fifth hangs on one neighbour: no ring, PCIe.
constexpr std::array kCubeMeshRings = {0., 6., 1., 2., 4., 0., 2., 4., 6.};

/// What the scale-up links give one GPU towards the n-1 others of its group, data sheet rate, one direction.
BytesPerSecond link_towards_group(const ClusterSpec& c, double ranks_per_node) {
  const BytesPerSecond all = c.node.scale_up_bandwidth;
  const double gpus = static_cast<double>(c.node.gpus_per_node);
  switch (c.node.fabric) {
    case IntraNodeFabric::nvlink_mesh:  // an equal share of the links leads to each of the others
      return gpus > 1 ? std::min(1.0, (ranks_per_node - 1) / (gpus - 1)) * all : all;
    case IntraNodeFabric::nvlink_cube_mesh: {
      const double rings = ranks_per_node <= 8 ? kCubeMeshRings[static_cast<std::size_t>(ranks_per_node)] : 6;
      return rings > 0 ? rings / 6 * all : c.gpu.pcie_bandwidth;
    }
    default:
      return all;
  }
}

/// Links of a group whose node a topology file describes: rings of NVLinks where it can close any, else PCIe.
void set_links_by_map(const NodeMap& map, const GroupRoutes& routes, const ClusterSpec& c, NcclSystem& s) {
  s.crosses_sockets = !routes.one_socket;
  s.node_link = c.node.scale_up_bandwidth;
  if (s.fabric == IntraNodeFabric::nvswitch || is_pcie(s.fabric) || s.ranks_per_node < 2) return;
  if (routes.nvlink_rings > 0) {
    s.node_link *= routes.nvlink_rings / static_cast<double>(most_nvlinks(map));
    return;
  }
  s.fabric = routes.peer_access ? IntraNodeFabric::pcie : IntraNodeFabric::pcie_no_p2p;
  s.node_link = c.gpu.pcie_bandwidth;
  for (const std::int32_t gpu : map.gpus) s.node_link = min(s.node_link, map.parts[static_cast<std::size_t>(gpu)].link);
}

/// NICs of a group whose node a topology file describes. Rates are line rates: what the network makes of them follows.
void set_nics_by_map(const NodeMap& map, const GroupRoutes& routes, double trays, NcclSystem& s) {
  bool c2c = !map.c2c.empty();
  for (const BytesPerSecond link : map.c2c) c2c = c2c && link.base() > 0;
  s.near_nic = routes.nic_distance <= NodeDistance::pxb || (c2c && routes.nic_distance <= NodeDistance::phb);
  if (routes.nics <= 0) return;
  s.rails = std::max(1.0, std::min(s.ranks_per_node, trays * routes.nics));
  s.rail = trays / s.rails / s.network_efficiency * routes.own;
  s.node_nics = trays * static_cast<double>(routes.groups) / s.network_efficiency * routes.shared;
}

void search_graphs(NcclSystem& s) {
  const double limit = nccl_link_share(s.generation) * (s.node_link / GB_per_s);
  const bool blackwell = s.generation == NcclGeneration::blackwell;
  s.ring = s.ranks_per_node > 1 ? search_intra(s.generation, limit) : NcclGraph{};
  s.tree = s.ring;
  if (blackwell && s.nodes <= 1) s.tree.intra = s.tree.inter = (40.0 / 45) * s.ring.intra;
  if (s.fabric == IntraNodeFabric::nvswitch && !s.amd_gpu && s.generation >= NcclGeneration::hopper) {
    // Multicast leaves about a tenth of the links unused: 8x40 on H100, 8x80 on B200, 8x15 on H800.
    const double heads = std::min(s.ranks_per_node, 8.0);
    const double share = 0.9 * limit / heads;
    const BytesPerSecond speed = GB_per_s * (blackwell ? fastest_within(kIntraSpeedsBlackwell, share)
                                                       : fastest_within(kIntraSpeedsHopper, share));
    s.nvls = {heads, speed, speed};
  }
  if (s.nodes <= 1) return;
  // One of a channel's r hops leaves by the NIC: r-1 of r GPUs send it over their links.
  const double r = s.ranks_per_node;
  const double rail = s.rail / GB_per_s;
  const double intra_each = r > 1 ? limit / s.rails * r / (r - 1) : rail;
  const BytesPerSecond speed = inter_speed(s.generation, std::min(rail, intra_each)) * GB_per_s;
  s.ring = {s.rails, speed, speed};
  // A balanced tree asks a GPU's links for as much as its node's NICs bring; where they cannot (eight NICs of 48 GB/s
  // beside 371 on DGX H100) the search of Hopper and later takes a chain. A lone GPU is one.
  s.chain_tree = r <= 1 || (s.generation >= NcclGeneration::hopper && s.rails * (speed / GB_per_s) > limit);
  // Trees may run faster inside the node than between nodes (8x30 over 8x24 on DGX A100, 8x96 over 8x48 on B200).
  const double tree_most = s.generation == NcclGeneration::hopper ? 0 : blackwell ? 96 : 30;
  s.tree = {s.rails, max(speed, std::min(intra_each, tree_most) * GB_per_s), speed};
  if (s.nvls.channels > 0) s.nvls.inter = s.rails / s.nvls.channels * speed;
}

}  // namespace

double ring_steps(CollectiveOp op, double ranks) {
  return op == CollectiveOp::all_reduce ? 2 * (ranks - 1) : ranks - 1;
}

namespace {

/// What the network plugin tells NCCL of its latency: only AWS's says anything (aws-ofi-nccl, src/platform-aws.cpp: 75
/// us, 35 us from p5en with its NICs of 200 Gb/s on).
Seconds reported_latency(const ClusterSpec& cluster) {
  const NetworkKind kind = cluster.network.kind;
  if (kind != NetworkKind::efa && kind != NetworkKind::efa_v1) return {};
  return (cluster.node.nic_bandwidth > 150 * Gbit_per_s ? 35 : 75) * microseconds;
}

/// How much leaves a leaf when all groups that are placed alike run at once. Of `leaf` nodes (or domains) under a leaf,
/// a group whose nodes lie `stride` apart holds leaf/stride; `stride` such groups lie there interleaved. A ring leaves
/// each leaf that it visits once, and so does a tree (one edge up, one to a child, of two trees whose nodes send twice
/// the size): stride of leaf nodes' bytes. All_to_all sends to the N - m of N - 1 others that are not among the m under
/// its leaf. Groups that lie under one leaf leave none.
void set_crossing(const GroupLayout& group, const ClusterSpec& cluster, NcclSystem& s) {
  const std::int64_t trays = std::max<std::int64_t>(1, domain_in_use(cluster) / cluster.node.gpus_per_node);
  const std::int64_t leaf = cluster.network.nodes_per_leaf / trays;
  const std::int64_t stride = group.node_stride;
  const auto nodes = static_cast<std::int64_t>(s.nodes);
  const std::int64_t span = nodes * stride;
  if (leaf >= span && leaf % span == 0) return;
  s.neighbours_crossing = leaf > 0 ? std::min(1.0, static_cast<double>(stride) / static_cast<double>(leaf)) : 1;
  // Where groups and leaves do not tile, some group lies with its smallest piece under a leaf of its own.
  const std::int64_t together = leaf >= span ? std::gcd(span, leaf) / stride : leaf / stride;
  s.all_crossing = (s.nodes - static_cast<double>(std::max<std::int64_t>(1, together))) / (s.nodes - 1);
}

}  // namespace

NcclSystem nccl_system(const GroupLayout& group, const ClusterSpec& cluster) {
  FORETRAIN_CHECK(group.ranks >= 1 && group.ranks_per_node >= 1 && group.groups_sharing_nics >= 1);
  NcclSystem s;
  s.generation = generation_of(cluster.gpu);
  s.compute_capability = cluster.gpu.compute_capability;
  s.amd_gpu = cluster.gpu.vendor == "AMD";
  s.cpu = cluster.node.cpu;
  s.fabric = cluster.node.fabric;
  s.network = cluster.network.kind;
  s.reported_latency = reported_latency(cluster);
  s.network_latency = cluster.network.latency;
  s.host_bandwidth = cluster.network.host_bandwidth;
  s.release = &nccl_release(cluster.nccl.version);
  s.collnet = cluster.nccl.collnet && cluster.network.kind == NetworkKind::infiniband;
  s.network_efficiency = cluster.network.efficiency;
  s.oversubscription = cluster.network.oversubscription;
  s.groups = static_cast<double>(group.groups_sharing_nics);
  s.ranks = static_cast<double>(group.ranks);
  s.ranks_per_node = static_cast<double>(std::min(group.ranks_per_node, group.ranks));
  s.nodes = static_cast<double>(ceil_div(group.ranks, std::min(group.ranks_per_node, group.ranks)));
  // A domain of several trays has the NICs of all of them; a node with more NICs than GPUs has several for each.
  const double gpus = static_cast<double>(cluster.node.gpus_per_node);
  const double nics = static_cast<double>(cluster.node.nics_per_node);
  const double trays = std::ceil(s.ranks_per_node / gpus);
  const double nics_of_gpu = std::max(1.0, std::floor(nics / gpus));
  s.node_nics = trays * nics * cluster.node.nic_bandwidth;
  s.rails = std::max(1.0, std::min(s.ranks_per_node, trays * nics / nics_of_gpu));
  s.rail = nics_of_gpu * cluster.node.nic_bandwidth;
  s.node_link = link_towards_group(cluster, s.ranks_per_node);
  s.crosses_sockets = s.ranks_per_node > 2;
  // LL128 over nodes needs a NIC beside the GPU (path PXB): not on Slingshot, Omni-Path and plain Ethernet hosts.
  s.near_nic = s.network == NetworkKind::infiniband || s.network == NetworkKind::roce || s.network == NetworkKind::efa;
  const bool bridged = cluster.node.fabric == IntraNodeFabric::nvlink_bridge;
  if (cluster.node.map) {
    const auto in_node = static_cast<std::int64_t>(std::min(s.ranks_per_node, gpus));
    const GroupRoutes& routes = routes_of(*cluster.node.map, in_node, group.gpu_stride);
    set_links_by_map(*cluster.node.map, routes, cluster, s);
    set_nics_by_map(*cluster.node.map, routes, trays, s);
  } else if (bridged && (s.ranks_per_node > 2 || group.gpu_stride != 1)) {  // NVLinks join pairs of neighbours
    s.fabric = IntraNodeFabric::pcie;
    s.node_link = cluster.gpu.pcie_bandwidth;
  }
  search_graphs(s);
  if (s.nodes > 1 && s.oversubscription > 1) set_crossing(group, cluster, s);
  return s;
}

namespace {

/// A channel's cap. Before 2.28 Blackwell's are Hopper's twice.
double channel_most(const NcclSystem& s, const std::array<PerScale, 4>& most) {
  const bool doubled = s.release->doubled_hopper && s.generation == NcclGeneration::blackwell;
  return doubled ? 2 * most[row(NcclGeneration::hopper)][scale_of(s.nodes)]
                 : most[row(s.generation)][scale_of(s.nodes)];
}

BytesPerSecond ring_bandwidth(const NcclSystem& s, CollectiveOp op, NcclProtocol p, BytesPerSecond bus,
                              double low_latency_most) {
  const double most = channel_most(s, kRing128Most);
  const bool gathers = op != CollectiveOp::all_reduce && s.nodes <= 1;
  const double ll_share = gathers ? s.release->ll_share_gathers : s.release->ll_share;
  if (p == NcclProtocol::ll) return min(low_latency_most * GB_per_s, ll_share * bus);
  if (p == NcclProtocol::ll128)
    return min((s.ranks_per_node < 2 ? s.release->ll128_share_alone : 0.92) * bus, s.ring.channels * most * GB_per_s);
  return bus;
}

BytesPerSecond tree_bandwidth_of_any(const NcclSystem& s, NcclProtocol p, BytesPerSecond bus, double low_latency_most) {
  if (p == NcclProtocol::ll) return min(bus / 3.8, low_latency_most * GB_per_s);
  if (p == NcclProtocol::ll128)
    return min((s.nodes <= 1 ? 7.0 / 9 : 120.0 / 128) * bus,
               s.tree.channels * channel_most(s, kTree128Most) * GB_per_s);
  const double all_most = s.nodes <= 2 ? s.release->tree_most_two : s.release->tree_most;
  if (all_most > 0) return min(0.9 * bus, all_most * GB_per_s);
  return min(0.92 * bus, s.tree.channels * channel_most(s, kTreeMost) * GB_per_s);
}

BytesPerSecond tree_bandwidth(const NcclSystem& s, NcclProtocol p, BytesPerSecond bus, double low_latency_most) {
  return (s.chain_tree ? s.release->chain_tree : 1) * tree_bandwidth_of_any(s, p, bus, low_latency_most);
}

/// As releases before 2.28 rate NVLS: five sixths of what its channels carry (of an all_reduce), with few exceptions.
BytesPerSecond early_nvls_bandwidth(const NcclSystem& s, CollectiveOp op, bool tree) {
  const double c = s.nvls.channels;
  const double part = op == CollectiveOp::all_reduce ? 5.0 / 6 : 1;
  switch (s.release->nvls) {
    case NvlsRating::of_ring:
      return 0.75 * min(s.ring.channels * s.ring.intra, s.release->hopper_bus_most * GB_per_s);
    case NvlsRating::five_sixths: {
      const double many = 0.7 * s.nodes / (2 * (s.nodes - 1));
      return (tree ? many : part) * c * (s.nodes <= 2 ? s.nvls.intra : s.nvls.inter);
    }
    default: {
      const BytesPerSecond side = tree && s.nodes > 2 ? 0.5 * s.nvls.inter : s.nvls.inter;
      return part * c * min(s.nvls.intra, s.nodes > 1 ? side : s.nvls.intra);
    }
  }
}

/// Algorithm bandwidth.
BytesPerSecond nvls_bandwidth(const NcclSystem& s, CollectiveOp op, bool tree) {
  if (s.release->nvls != NvlsRating::by_generation) return early_nvls_bandwidth(s, op, tree);
  const double c = s.nvls.channels;
  const double efficiency = s.generation == NcclGeneration::blackwell ? 0.74 : 0.85;
  const double part = op == CollectiveOp::all_reduce ? 2 : (s.ranks_per_node - 1) / s.ranks_per_node;
  BytesPerSecond each = efficiency * (c - 1) / c * part * s.nvls.intra;
  if (tree) {
    each = min(each, (s.nodes <= 2 ? 2 : 1) * s.nvls.inter);
    each = min(each, kNvlsTreeMost[row(s.generation)][scale_of(s.nodes)] * GB_per_s);
  } else if (s.nodes > 1) {
    each = min(each, s.nvls.inter);
  }
  return (op == CollectiveOp::all_reduce ? s.ranks / ring_steps(op, s.ranks) : 1) * c * each;
}

/// Algorithm bandwidth where the network's switches reduce: each node's NICs carry the size once.
BytesPerSecond collnet_bandwidth(const NcclSystem& s, CollectiveOp op, bool direct) {
  const BytesPerSecond each = s.ring.inter;
  if (op != CollectiveOp::all_reduce) return s.ranks_per_node * min(s.tree.intra, 0.9 * each);
  if (!direct) return 0.5 * s.rails * each;
  double share = s.ranks_per_node / s.rails;  // GPUs that share a NIC
  share -= (share - 1) / 2;
  return 0.5 * (s.generation >= NcclGeneration::hopper ? 0.85 : 1) / share * s.rails * each;
}

/// Whether algorithms that reduce in switches may run: of the network, or NVLS beyond one node.
bool collnet_possible(const NcclSystem& s, CollectiveOp op, NcclAlgorithm a, NcclProtocol p) {
  if (!s.collnet || s.nodes < 2 || p != NcclProtocol::simple || op == CollectiveOp::broadcast) return false;
  const bool gathers = op != CollectiveOp::all_reduce;
  // Gathers need a NIC for each GPU, and a plugin that has them.
  if (gathers && (!s.release->collnet_gathers || s.ranks_per_node > s.rails)) return false;
  if (a == NcclAlgorithm::collnet_chain) return !gathers;
  return s.fabric == IntraNodeFabric::nvswitch && s.ranks_per_node <= 8;
}

/// What NCCL enables by itself, or with `named` because the environment names the protocol.
bool possible(const NcclSystem& s, CollectiveOp op, NcclAlgorithm a, NcclProtocol p, bool named) {
  if (p == NcclProtocol::none) return false;
  const bool nvlink = !is_pcie(s.fabric);
  if (p == NcclProtocol::ll128 && !named && s.compute_capability > s.release->newest_ll128) return false;
  if (p == NcclProtocol::ll128 && !named && (!nvlink || (s.nodes > 1 && (s.amd_gpu || !s.near_nic)))) return false;
  // Where the NIC delivers out of order, AWS's plugin sets NCCL_PROTO=simple (aws-ofi-nccl, src/platform-aws.cpp).
  if (p != NcclProtocol::simple && s.nodes > 1 && s.network == NetworkKind::efa_v1) return false;
  const bool nvls = a == NcclAlgorithm::nvls || a == NcclAlgorithm::nvls_tree;
  if (nvls && (s.release->nvls == NvlsRating::none || s.nvls.channels < 2 || p != NcclProtocol::simple)) return false;
  switch (a) {
    case NcclAlgorithm::ring:
      return true;
    case NcclAlgorithm::tree:
      return op == CollectiveOp::all_reduce;
    case NcclAlgorithm::nvls:
      if (op == CollectiveOp::broadcast || s.ranks_per_node <= 2) return false;
      if (op != CollectiveOp::all_reduce && !s.release->nvls_gathers) return false;
      return s.nodes <= 1 || collnet_possible(s, op, a, p);
    case NcclAlgorithm::nvls_tree:
      return s.nodes > 1 && op == CollectiveOp::all_reduce && s.release->nvls >= NvlsRating::five_sixths;
    case NcclAlgorithm::collnet_direct:
    case NcclAlgorithm::collnet_chain:
      return collnet_possible(s, op, a, p);
    case NcclAlgorithm::pat:  // one GPU a node
      return s.release->pat && !s.amd_gpu && p == NcclProtocol::simple && s.nodes > 1 && s.ranks_per_node <= 1 &&
             (op == CollectiveOp::all_gather || op == CollectiveOp::reduce_scatter);
    default:
      return false;
  }
}

Seconds ring_latency(const NcclSystem& s, CollectiveOp op, NcclProtocol p) {
  const NcclRelease& release = *s.release;
  const std::size_t i = index(p);
  const double steps = ring_steps(op, s.ranks);
  const double around = release.extra_net_steps && s.nodes > 1 ? s.nodes : s.nodes - 1;
  const double net_steps = op == CollectiveOp::all_reduce ? 2 * around : s.nodes - 1;
  double overhead = s.nodes > 1 ? (s.cpu == HostCpu::amd ? 2.0 : 1.0) * (p == NcclProtocol::simple ? 3 : 1) : 0;
  if (!release.net_overhead) overhead = 0;
  double intra = is_pcie(s.fabric) ? release.ring_pcie[i] : release.ring_nvlink[i];
  if (p == NcclProtocol::ll && s.nodes > 1) intra *= release.ll_slower_over_nodes;
  const double nic = (p == NcclProtocol::simple ? 2 : 1) * (s.reported_latency / microseconds);
  const bool exposed = release.exposed_latency && s.ranks_per_node <= 1;
  const double inter = (exposed ? release.tree_net[i] : release.ring_net[i]) + nic;
  return (release.ring_base[i] + std::max(0.0, steps - net_steps) * std::max(intra, overhead) + net_steps * inter) *
         microseconds;
}

Seconds tree_latency(const NcclSystem& s, NcclProtocol p) {
  const NcclRelease& release = *s.release;
  const std::size_t i = index(p);
  double intra = is_pcie(s.fabric) ? release.tree_pcie[i] : release.tree_nvlink[i];
  if (p == NcclProtocol::ll && s.nodes > 1) intra *= release.ll_slower_over_nodes;
  const double nic = (p == NcclProtocol::simple ? 2 : 1) * (s.reported_latency / microseconds);
  const double inter = release.tree_net[i] + nic;
  return (release.tree_base[i] + 2 * ((s.ranks_per_node - 1) * intra + std::log2(s.nodes) * inter)) * microseconds;
}

Seconds nvls_latency(const NcclSystem& s, bool tree) {
  const NcclRelease& release = *s.release;
  const Seconds nic = 2 * s.reported_latency;
  if (!tree) return release.nvls_hop * microseconds + (s.nodes > 1 ? 18 * microseconds + nic : Seconds{});
  const double levels = release.nvls == NvlsRating::five_sixths ? 2 * (s.nodes - 1) : 2 * std::log2(s.nodes);
  return release.nvls_hop * microseconds + levels * (release.nvls_tree_net * microseconds + nic);
}

/// Up to the switches and back once; inside the node at once (direct) or GPU by GPU (chain).
Seconds collnet_latency(const NcclSystem& s, bool direct) {
  const double others = s.ranks_per_node - 1;
  const double intra = direct ? 2 * (std::min(1.0, others) * 3.7 + 0.4 * others) : 2 * others * 2.8;
  return (intra + (direct ? 31 : 30)) * microseconds + 2 * s.reported_latency;
}

Seconds pat_latency(const NcclSystem& s) {
  const double inter = s.release->tree_net[index(NcclProtocol::simple)] + 2 * (s.reported_latency / microseconds);
  return (8 + std::log2(s.nodes) * inter / 3.5 + 2.8 * s.ranks) * microseconds;
}

/// What every algorithm reaches on the bus together: its channels, and the caps of releases before 2.18.
BytesPerSecond bus_of(const NcclSystem& s, const NcclGraph& graph) {
  const BytesPerSecond bus = graph.channels * (s.nodes <= 2 ? graph.intra : graph.inter);
  const double most = s.generation == NcclGeneration::ampere   ? s.release->ampere_bus_most
                      : s.generation == NcclGeneration::hopper ? s.release->hopper_bus_most
                                                               : 0;
  return most > 0 ? min(bus, most * GB_per_s) : bus;
}

}  // namespace

NcclCost nccl_cost(const NcclSystem& s, CollectiveOp op, NcclAlgorithm a, NcclProtocol p, bool named) {
  NcclCost cost;
  cost.possible = possible(s, op, a, p, named);
  if (!cost.possible) return cost;
  const BytesPerSecond bus = bus_of(s, a == NcclAlgorithm::tree ? s.tree : s.ring);
  const std::size_t ll_row = s.nodes <= 1 ? row(s.generation) : s.cpu == HostCpu::amd ? 1 : 0;
  double ll_most = kLowLatencyMost[ll_row][scale_of(s.nodes)];
  if (s.nodes <= 1 && s.generation == NcclGeneration::hopper) ll_most = s.release->hopper_ll_most;
  const double by_steps = s.ranks / ring_steps(op, s.ranks);
  switch (a) {
    case NcclAlgorithm::ring:
      cost.latency = ring_latency(s, op, p);
      cost.bandwidth = by_steps * ring_bandwidth(s, op, p, bus, ll_most);
      break;
    case NcclAlgorithm::tree:
      cost.latency = tree_latency(s, p);
      cost.bandwidth = 0.5 * tree_bandwidth(s, p, bus, ll_most);
      break;
    case NcclAlgorithm::collnet_direct:
    case NcclAlgorithm::collnet_chain: {
      const bool direct = a == NcclAlgorithm::collnet_direct;
      cost.latency = collnet_latency(s, direct);
      cost.bandwidth = collnet_bandwidth(s, op, direct);
      break;
    }
    case NcclAlgorithm::pat:
      cost.latency = pat_latency(s);
      cost.bandwidth = 0.75 * bus;
      break;
    default: {
      const bool tree = a == NcclAlgorithm::nvls_tree;
      cost.latency = nvls_latency(s, tree);
      cost.bandwidth = nvls_bandwidth(s, op, tree);
      break;
    }
  }
  cost.long_latency = cost.latency;
  if (op != CollectiveOp::all_reduce) return cost;
  if (a == NcclAlgorithm::tree) cost.correction = &kTreeCorrection[index(p)];
  if (a == NcclAlgorithm::ring && p == NcclProtocol::simple && s.nodes > 1) {
    cost.long_from = 64 * s.ring.channels * s.ranks * bytes;
    cost.long_latency = (s.generation < NcclGeneration::ampere ? 1.9 : s.release->ring_plateau) * cost.latency;
  }
  return cost;
}

}  // namespace foretrain
