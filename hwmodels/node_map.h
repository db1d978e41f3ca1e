/// The inside of a node as a graph: processors, PCIe switches, GPUs and NICs in a tree, and NVLinks between GPUs.
///
/// Read from a file that describes a real node (node_map_file.h), or laid out from a NodeSpec's counts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "hwmodels/cluster.h"

namespace foretrain {

enum class NodePartKind : std::uint8_t { socket, pcie_switch, gpu, nic };

/// A socket (NUMA node) has no parent; all else hangs below one.
struct NodePart {
  NodePartKind kind = NodePartKind::socket;
  std::int32_t parent = -1;  ///< index into NodeMap::parts
  std::string name;          ///< as the file has it: "0000:07:00.0", "mlx5_0", "GPU0"
  BytesPerSecond link;       ///< to the parent, raw, one direction; 0: not known
  BytesPerSecond rate;       ///< of a NIC, all its ports, one direction; 0: not known
  std::int32_t rail = -1;    ///< of a NIC, where the file gives one
};

/// How far two parts of a node are from each other, as NCCL counts it: below one switch (PIX), below several switches
/// (PXB), at one processor (PHB), or on both sides of the processors' own link (SYS).
enum class NodeDistance : std::uint8_t { pix, pxb, phb, sys };
inline constexpr std::array<std::string_view, 4> kNodeDistanceNames = {"PIX", "PXB", "PHB", "SYS"};

/// What groups of a node's GPUs have of its links, the worst-placed of those that tile the node alike.
struct GroupRoutes {
  std::int64_t groups = 1;                        ///< that many lie in the node
  double nics = 0;                                ///< that one of them uses
  BytesPerSecond own, shared;                     ///< out of the node: one by itself; each of all together
  NodeDistance nic_distance = NodeDistance::sys;  ///< of its nearest NIC to the GPU nearest to it
  double nvlink_rings = 0;                        ///< that it can close, one link wide, both directions counted
  bool one_socket = true;                         ///< its GPUs are on one socket
  bool peer_access = true;                        ///< some of its GPUs share a PCIe switch
};

/// What only a file can tell is marked as known or not; the rest always holds.
struct NodeMap {
  std::vector<NodePart> parts;     ///< a parent before its children
  std::vector<std::int32_t> gpus;  ///< parts, in the order of ranks
  std::vector<std::int32_t> nics;  ///< parts; once settled, those that GPUs use

  bool nvlinks_known = false;
  std::vector<std::int32_t> nvlinks;         ///< [gpus, gpus] NVLinks of each pair; symmetric, 0 on the diagonal
  std::vector<std::int32_t> nvswitch_links;  ///< [gpus] NVLinks to switches

  std::vector<BytesPerSecond> c2c;  ///< [gpus] to the GPU's own processor; 0: none
  std::optional<HostCpu> cpu;
  BytesPerSecond socket_link;  ///< between two sockets, one direction; 0: not known
  int compute_capability = 0;  ///< of the GPUs; 0: not known
  std::string gpu_device;      ///< PCI device of the GPUs, "0x20b0"; "": not known
  std::int64_t hosts = 1;      ///< hosts that the file describes, equal to each other

  std::vector<GroupRoutes> routes;  ///< [ranks - 1, stride - 1] once settled, see node_routes.h

  std::vector<std::string> not_in_file;  ///< what stands in for what the file lacks, once settled: "NIC rates"
  std::string file;                      ///< where it was read
  std::string_view format;               ///< "NCCL topology", "nvidia-smi topo -m"; "" where laid out from counts
};

/// Payload that a PCIe link carries of its raw rate: NCCL counts on 12 GB/s of Gen3 x16's 15.75, and in proportion for
/// later generations (NVIDIA/nccl 2.28.9 src/graph/topo.h, PCI_BW).
inline constexpr double kPcieEfficiency = 12.0 / 15.75;

inline std::int64_t gpu_count(const NodeMap& map) { return static_cast<std::int64_t>(map.gpus.size()); }

/// Ancestors of `part` from itself up to its socket.
std::vector<std::int32_t> way_up(const NodeMap& map, std::int32_t part);
/// The parts from `a` to `b`, both included: up from `a`, over the link between sockets if need be, and down to `b`.
/// `by_host`: through the socket even where a switch below it would do, as data goes that passes host memory.
std::vector<std::int32_t> way_between(const NodeMap& map, std::int32_t a, std::int32_t b, bool by_host = false);
NodeDistance distance(const NodeMap& map, std::int32_t a, std::int32_t b);
/// NICs (indices into `nics`) nearest to GPU number `gpu`; none in a node without NICs.
std::vector<std::int32_t> nearest_nics(const NodeMap& map, std::int64_t gpu);
/// NICs that are nearest to some GPU, in order: the others (storage, management) carry no traffic between GPUs.
std::vector<std::int32_t> nics_in_use(const NodeMap& map);

/// NVLinks to other GPUs of the GPU that has most of them.
std::int64_t most_nvlinks(const NodeMap& map);

/// What makes `b` another node than `a`, names of devices apart: "7 NICs, not 8"; "" when they are equal.
std::string node_difference(const NodeMap& a, const NodeMap& b);

/// The node of `cluster` laid out from its counts: two sockets whose switches hold GPUs and NICs in equal parts, a
/// switch for each GPU that has a NIC of its own; NVLinks as the fabric has them. Throws std::invalid_argument for a
/// cube mesh of more than 8 GPUs.
NodeMap laid_out_node(const ClusterSpec& cluster);

/// Between two sockets, one direction: what NCCL counts on for this processor (NVIDIA/nccl 2.28.9 src/graph/topo.h:
/// SKL_QPI_BW 10, SRP_QPI_BW 22, AMD_BW 16, ARM_BW 6). Assumed: Intel hosts with PCIe Gen4 or later are Sapphire Rapids
/// or alike.
BytesPerSecond socket_bandwidth(HostCpu cpu, int pcie_generation);

}  // namespace foretrain
