/// What a cluster is: nodes of GPUs, what joins them inside a node and between nodes.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "hwmodels/fault.h"
#include "hwmodels/gpu.h"
#include "hwmodels/nccl.h"

namespace foretrain {

/// How the GPUs of one node (or NVLink domain) reach each other.
/// `nvlink_bridge`: some pairs have NVLinks (0 and 1, 2 and 3 ... unless a topology file says otherwise), the rest
/// PCIe.
enum class IntraNodeFabric { nvswitch, nvlink_mesh, nvlink_cube_mesh, pcie, pcie_no_p2p, nvlink_bridge };
inline constexpr std::array<std::string_view, 6> kIntraNodeFabricNames = {"nvswitch", "nvlink_mesh", "nvlink_cube_mesh",
                                                                          "pcie",     "pcie_no_p2p", "nvlink_bridge"};
constexpr bool is_pcie(IntraNodeFabric f) { return f == IntraNodeFabric::pcie || f == IntraNodeFabric::pcie_no_p2p; }
/// The kind of network between nodes, with the transport that NCCL has on it; sets latency and efficiency defaults.
/// `efa` is EFA of p5 and later (RDMA writes), `efa_v1` that of p3dn and p4d; `ethernet_tcp` are plain sockets,
/// `gpudirect_tcpx` and `gpudirect_tcpxo` Google's transports of A3 High and A3 Mega.
enum class NetworkKind {
  infiniband,
  roce,
  efa,
  slingshot,
  omni_path,
  ethernet_tcp,
  efa_v1,
  gpudirect_tcpx,
  gpudirect_tcpxo
};
/// As files spell them; with hyphens ("omni-path") they are read too.
inline constexpr std::array<std::string_view, 9> kNetworkKindNames = {
    "infiniband",     "roce",           "efa", "slingshot", "omni_path", "ethernet_tcp", "efa_v1",
    "gpudirect_tcpx", "gpudirect_tcpxo"};
/// The host processor: NCCL's tuning and its route to the NIC depend on it.
enum class HostCpu { intel, amd, arm };
inline constexpr std::array<std::string_view, 3> kHostCpuNames = {"intel", "amd", "arm"};

struct NodeMap;

struct NodeSpec {
  std::string name;  ///< "dgx-h100", or "" for an ad-hoc node
  std::int64_t gpus_per_node = 8;
  IntraNodeFabric fabric = IntraNodeFabric::nvswitch;
  BytesPerSecond scale_up_bandwidth;  ///< one direction per GPU: the GPU's NVLink or xGMI; PCIe in a PCIe node
  std::int64_t nics_per_node = 8;
  BytesPerSecond nic_bandwidth;  ///< line rate of one NIC, one direction
  bool rail_optimised = true;    ///< NIC i of every node on one leaf: a ring of equal ranks never leaves it
  HostCpu cpu = HostCpu::intel;
  std::shared_ptr<const NodeMap> map;  ///< its inside, where a topology file describes it (node_map.h)
};

struct NetworkSpec {
  NetworkKind kind = NetworkKind::infiniband;
  Seconds latency;                   ///< NIC to NIC, one way, without NCCL's own overhead
  double efficiency = 1;             ///< payload share of the line rate that one flow reaches (0, 1]
  double oversubscription = 1;       ///< >= 1: leaf down-link over up-link capacity
  std::int64_t nodes_per_leaf = 32;  ///< nodes under one leaf (rail-optimised: under one set of rails)
  /// What a node's processors copy to and from its sockets, one direction; 0: data does not pass through them.
  BytesPerSecond host_bandwidth;
};

struct ClusterSpec {
  std::string name;
  GpuSpec gpu;
  NodeSpec node;
  NetworkSpec network;
  std::int64_t gpus = 8;           ///< all GPUs used; the last node may be part full
  std::int64_t nvlink_domain = 8;  ///< GPUs that reach each other over NVLink: gpus_per_node, or 72 on NVL72
  NcclSettings nccl;               ///< the NCCL (or RCCL) that runs on it
  std::string source;              ///< ids of the catalogue's sources, "" for what a job describes
  std::vector<Fault> faults;       ///< what is slow or broken; empty: all is healthy
  std::shared_ptr<const std::vector<std::string>> hosts;  ///< names of the nodes in order, where a job gives them
};

/// The characteristics of one kind of network, from the catalogue.
struct NetworkDefaults {
  NetworkSpec spec;
  std::string source;
};

/// One link of the catalogue, for `foretrain list links`.
struct LinkSpec {
  std::string name;          ///< "nvlink4"
  std::string what;          ///< "Hopper, 18 links"
  BytesPerSecond bandwidth;  ///< one direction, per GPU or per NIC
  std::string source;
};

/// Nodes needed for all GPUs.
constexpr std::int64_t node_count(const ClusterSpec& c) { return ceil_div(c.gpus, c.node.gpus_per_node); }
/// Nodes are cabled to leaves in groups of `nodes_per_leaf`.
constexpr std::int64_t leaf_groups(const ClusterSpec& c) { return ceil_div(node_count(c), c.network.nodes_per_leaf); }
/// Leaves: one for each NIC of a node in a group that is rail-optimised, else one for the group; none on one node.
constexpr std::int64_t leaf_count(const ClusterSpec& c) {
  if (node_count(c) <= 1) return 0;
  return c.node.rail_optimised ? leaf_groups(c) * c.node.nics_per_node : leaf_groups(c);
}
/// Up-links of a leaf, in line rates of a NIC: what its NICs have, over the oversubscription.
inline double leaf_up_links(const ClusterSpec& c) {
  const std::int64_t nodes = node_count(c) < c.network.nodes_per_leaf ? node_count(c) : c.network.nodes_per_leaf;
  return static_cast<double>(nodes * (c.node.rail_optimised ? 1 : c.node.nics_per_node)) / c.network.oversubscription;
}
/// Spines, each with one up-link of every leaf; none under one leaf.
inline std::int64_t spine_count(const ClusterSpec& c) {
  return leaf_count(c) <= 1 ? 0 : static_cast<std::int64_t>(std::ceil(leaf_up_links(c) - 1e-9));
}
/// GPUs of each NVLink domain that a job on all of the cluster's GPUs has. Racks are handed out in equal parts (Slurm's
/// topology/block with --segment): 512 GPUs are 64 in each of 8 NVL72 racks, not 72 in seven and 8 in one.
constexpr std::int64_t domain_in_use(const ClusterSpec& c) {
  if (c.nvlink_domain <= c.node.gpus_per_node || c.gpus <= c.nvlink_domain) return c.nvlink_domain;
  const std::int64_t least = ceil_div(c.gpus, c.nvlink_domain);
  for (std::int64_t domains = least; domains <= 2 * least; ++domains)
    if (c.gpus % (domains * c.node.gpus_per_node) == 0) return c.gpus / domains;
  return c.nvlink_domain;
}
/// One direction, line rate, of all NICs of a node divided by its GPUs.
inline BytesPerSecond network_bandwidth_per_gpu(const ClusterSpec& c) {
  return static_cast<double>(c.node.nics_per_node) * c.node.nic_bandwidth / static_cast<double>(c.node.gpus_per_node);
}

}  // namespace foretrain
