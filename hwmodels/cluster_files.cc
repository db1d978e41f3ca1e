#include "hwmodels/cluster_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "base/text.h"
#include "base/text_file.h"
#include "hwmodels/host_list.h"
#include "hwmodels/node_map_file.h"
#include "hwmodels/node_routes.h"

namespace foretrain {
namespace {

/// PCI devices of NVIDIA (vendor 0x10de) and the catalogue's names. Source: the PCI ID Repository, pci.ids.
struct PciGpu {
  std::string_view device, gpu;
};
constexpr std::array kPciGpus = {
    PciGpu{"0x1db1", "v100-sxm2-16gb"},   PciGpu{"0x1db5", "v100-sxm2-32gb"},  PciGpu{"0x1db8", "v100-sxm3-32gb"},
    PciGpu{"0x20b0", "a100-sxm4-40gb"},   PciGpu{"0x20b2", "a100-sxm4-80gb"},  PciGpu{"0x20f1", "a100-pcie-40gb"},
    PciGpu{"0x20b5", "a100-pcie-80gb"},   PciGpu{"0x20f3", "a800-sxm4-80gb"},  PciGpu{"0x2330", "h100-sxm5-80gb"},
    PciGpu{"0x2331", "h100-pcie-80gb"},   PciGpu{"0x2321", "h100-nvl-94gb"},   PciGpu{"0x2324", "h800-sxm5-80gb"},
    PciGpu{"0x2329", "h20-sxm5-96gb"},    PciGpu{"0x2335", "h200-sxm5-141gb"}, PciGpu{"0x2901", "b200-sxm-180gb"},
    PciGpu{"0x2941", "gb200-186gb"},      PciGpu{"0x31c2", "gb300-288gb"},     PciGpu{"0x26b9", "l40s-48gb"},
    PciGpu{"0x26b5", "l40-48gb"},         PciGpu{"0x27b8", "l4-24gb"},         PciGpu{"0x2236", "a10-24gb"},
    PciGpu{"0x2235", "a40-48gb"},         PciGpu{"0x2684", "rtx4090-24gb"},    PciGpu{"0x1eb8", "t4-16gb"},
    PciGpu{"0x2bb5", "rtx-pro-6000-96gb"}};

/// One NVLink, one direction: 25 GB/s from Volta to Hopper, 14.0625 on GA102 (compute capability 8.6), 50 on Blackwell.
std::int64_t nvlinks_of(const GpuSpec& gpu) {
  if (gpu.vendor != "NVIDIA") return 0;
  const double each = gpu.compute_capability >= 100 ? 50 : gpu.compute_capability == 86 ? 14.0625 : 25;
  return std::llround(gpu.scale_up_bandwidth / (each * GB_per_s));
}

const NodePart& gpu_part(const NodeMap& map, std::size_t gpu) {
  return map.parts[static_cast<std::size_t>(map.gpus[gpu])];
}

/// NVLinks of one GPU to other GPUs.
std::int64_t direct_links(const NodeMap& map, std::size_t gpu) {
  const std::size_t n = map.gpus.size();
  const auto row = map.nvlinks.begin() + static_cast<std::ptrdiff_t>(gpu * n);
  return std::accumulate(row, row + static_cast<std::ptrdiff_t>(n), std::int64_t{0});
}

/// `nvidia-smi topo -m` shows links through NVSwitches as links of each pair: more of them than a GPU has.
void find_nvswitches(const GpuSpec& gpu, NodeMap& map) {
  const std::size_t n = map.gpus.size();
  const std::int64_t has = nvlinks_of(gpu);
  if (n < 2 || map.nvlinks_known == false || direct_links(map, 0) <= has) return;
  const std::int32_t each = map.nvlinks[1];
  for (std::size_t i = 0; i < n * n; ++i)
    if (i / n != i % n && map.nvlinks[i] != each) return;
  if (each > has) return;
  map.nvswitch_links.assign(n, each);
  map.nvlinks.assign(n * n, 0);
}

/// No GPU has more NVLinks than its kind. The fewest of any GPU, as a share of what it has.
double nvlink_share(const SpecNode& topology, const NodeMap& map, const GpuSpec& gpu) {
  const std::int64_t has = nvlinks_of(gpu);
  std::int64_t fewest = has;
  for (std::size_t i = 0; i < map.gpus.size(); ++i) {
    const std::int64_t links = direct_links(map, i) + map.nvswitch_links[i];
    if (gpu.vendor == "NVIDIA" && links > has)
      topology.fail(fmt::format("{}: {} NVLinks at GPU {}; {} has {}", map.file, links, gpu_part(map, i).name, gpu.name,
                                has == 0 ? "none" : fmt::format("{}", has)));
    fewest = std::min(fewest, links);
  }
  return has > 0 ? static_cast<double>(fewest) / static_cast<double>(has) : 1;
}

/// NCCL copies from GPU to GPU where both are below one PCIe switch; a pair on an AMD host also across the processor.
/// Source: NVIDIA/nccl src/graph/paths.cc, ncclTopoCheckP2p (NCCL_P2P_LEVEL changes it).
IntraNodeFabric pcie_fabric(const NodeMap& map, const ClusterSpec& cluster) {
  if (cluster.node.fabric == IntraNodeFabric::pcie_no_p2p) return IntraNodeFabric::pcie_no_p2p;  // GeForce: no driver
  if (cluster.node.cpu == HostCpu::amd && map.gpus.size() <= 2) return IntraNodeFabric::pcie;
  for (std::size_t i = 0; i < map.gpus.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (distance(map, map.gpus[i], map.gpus[j]) <= NodeDistance::pxb) return IntraNodeFabric::pcie;
  return map.gpus.size() > 1 ? IntraNodeFabric::pcie_no_p2p : IntraNodeFabric::pcie;
}

/// The fabric that the NVLinks make.
IntraNodeFabric fabric_of(const SpecNode& topology, const NodeMap& map, const ClusterSpec& cluster) {
  const std::size_t n = map.gpus.size();
  const auto joined = [](std::int64_t links) { return links > 0; };
  if (std::any_of(map.nvswitch_links.begin(), map.nvswitch_links.end(), joined)) {
    const auto alone = std::find(map.nvswitch_links.begin(), map.nvswitch_links.end(), 0);
    if (alone != map.nvswitch_links.end())
      topology.fail(fmt::format("{}: GPU {} cannot reach the NVSwitches that the others are on", map.file,
                                gpu_part(map, static_cast<std::size_t>(alone - map.nvswitch_links.begin())).name));
    return IntraNodeFabric::nvswitch;
  }
  if (std::none_of(map.nvlinks.begin(), map.nvlinks.end(), joined)) return pcie_fabric(map, cluster);
  bool equal = true;
  for (std::size_t i = 0; i < n * n; ++i) equal = equal && (i / n == i % n || map.nvlinks[i] == map.nvlinks[1]);
  if (equal) return IntraNodeFabric::nvlink_mesh;
  // A cube mesh, however its GPUs are numbered: pairs without a link of their own reach each other over one GPU.
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      bool reached = i == j || map.nvlinks[i * n + j] > 0;
      for (std::size_t k = 0; k < n; ++k)
        reached = reached || (map.nvlinks[i * n + k] > 0 && map.nvlinks[k * n + j] > 0);
      if (!reached) return IntraNodeFabric::nvlink_bridge;
    }
  return IntraNodeFabric::nvlink_cube_mesh;
}

void apply_nvlinks(const SpecNode& topology, const NodeMap& map, ClusterSpec& cluster) {
  NodeSpec& node = cluster.node;
  if (map.nvlinks_known) {
    const double share = nvlink_share(topology, map, cluster.gpu);
    node.fabric = fabric_of(topology, map, cluster);
    node.scale_up_bandwidth =
        (node.fabric == IntraNodeFabric::nvlink_bridge ? 1 : share) * cluster.gpu.scale_up_bandwidth;
  }
  if (is_pcie(node.fabric)) {
    node.scale_up_bandwidth = cluster.gpu.pcie_bandwidth;
    for (const std::int32_t gpu : map.gpus) {
      const BytesPerSecond link = map.parts[static_cast<std::size_t>(gpu)].link;
      if (link.base() > 0) node.scale_up_bandwidth = min(node.scale_up_bandwidth, link);
    }
  }
  const bool rack = node.fabric == IntraNodeFabric::nvswitch && cluster.nvlink_domain > node.gpus_per_node;
  if (map.hosts > 1 && node.fabric == IntraNodeFabric::nvswitch)
    cluster.nvlink_domain = map.hosts * node.gpus_per_node;
  else if (!rack)
    cluster.nvlink_domain = node.gpus_per_node;
}

void apply_nics(const NodeMap& map, ClusterSpec& cluster) {
  NodeSpec& node = cluster.node;
  const std::vector<std::int32_t> used = nics_in_use(map);
  if (used.empty()) return;
  node.nics_per_node = static_cast<std::int64_t>(used.size());
  if (node.nics_per_node < node.gpus_per_node) node.rail_optimised = false;
  BytesPerSecond total;
  std::int64_t known = 0, rails = 0;
  for (const std::int32_t nic : used) {
    const NodePart& part = map.parts[static_cast<std::size_t>(map.nics[static_cast<std::size_t>(nic)])];
    total += part.rate;
    known += part.rate.base() > 0 ? 1 : 0;
    rails += part.rail >= 0 ? 1 : 0;
  }
  if (known == node.nics_per_node) node.nic_bandwidth = total / static_cast<double>(known);
  if (rails == node.nics_per_node) node.rail_optimised = true;
}

}  // namespace

NodeMap read_topology(const SpecNode& topology) {
  if (topology.is_object()) {
    topology.allow_only({"file", "text"});
    const std::string text = topology.required("text").as_string(), file = topology.required("file").as_string();
    return read_node_map_text(text, file);
  }
  if (topology.is_array()) {
    std::vector<NodeMap> maps;
    for (const SpecNode& item : topology.items()) {
      maps.push_back(read_topology(item));
      const std::string difference = node_difference(maps.front(), maps.back());
      if (!difference.empty())
        item.fail(fmt::format("{} is another node than {}: {}; a cluster is made of equal ones", maps.back().file,
                              maps.front().file, difference));
    }
    if (maps.empty()) topology.fail_expected("at least one file");
    return maps.front();
  }
  const std::filesystem::path path(topology.as_string());
  const std::filesystem::path folder = std::filesystem::path(topology.file()).parent_path();
  return read_node_map(path.is_absolute() ? path.string() : (folder / path).string());
}

std::string_view gpu_named_by(const NodeMap& map) {
  for (const PciGpu& known : kPciGpus)
    if (known.device == map.gpu_device) return known.gpu;
  return "";
}

void apply_node_map(const SpecNode& topology, const NodeMap& map, ClusterSpec& cluster) {
  const GpuSpec& gpu = cluster.gpu;
  const std::string_view named = gpu_named_by(map);
  if (!named.empty() && named != gpu.name)
    topology.fail(fmt::format("{} shows GPUs {} (PCI device {}), not {}", map.file, named, map.gpu_device, gpu.name));
  if (map.compute_capability != 0 && gpu.compute_capability != 0 && map.compute_capability != gpu.compute_capability)
    topology.fail(fmt::format("{} shows GPUs of compute capability {} (sm), {} has {}", map.file,
                              map.compute_capability, gpu.name, gpu.compute_capability));
  if (map.cpu) cluster.node.cpu = *map.cpu;
  NodeMap seen = map;
  find_nvswitches(gpu, seen);
  apply_nvlinks(topology, seen, cluster);
  apply_nics(seen, cluster);
}

void settle_node_map(const SpecNode& topology, NodeMap map, const std::optional<SpecNode>& network,
                     ClusterSpec& cluster) {
  const bool nics_named = network && network->has("nics_per_node");
  const bool rate_named = network && network->has("nic_bandwidth");
  NodeSpec& node = cluster.node;
  find_nvswitches(cluster.gpu, map);
  if (map.nics.empty() && node_count(cluster) > 1 && !nics_named)
    topology.fail(
        fmt::format("GPU {} of one node cannot reach another node: {} shows no NIC; give \"nics_per_node\" and "
                    "\"nic_bandwidth\" in \"network\"",
                    gpu_part(map, 0).name, map.file));
  if (map.nics.empty()) {
    map.not_in_file.push_back("NICs");
    std::vector<std::int32_t> sockets;  // those with GPUs
    for (const std::int32_t gpu : map.gpus) {
      const std::int32_t socket = way_up(map, gpu).back();
      if (std::find(sockets.begin(), sockets.end(), socket) == sockets.end()) sockets.push_back(socket);
    }
    for (std::int64_t i = 0; i < node.nics_per_node; ++i) {
      map.nics.push_back(static_cast<std::int32_t>(map.parts.size()));
      map.parts.push_back({NodePartKind::nic, sockets[static_cast<std::size_t>(i) % sockets.size()], "", {}, {}, -1});
    }
  }
  // NICs that are far from every GPU (storage, management) stay in the tree, and carry nothing between GPUs.
  std::vector<std::int32_t> used;
  for (const std::int32_t nic : nics_in_use(map)) used.push_back(map.nics[static_cast<std::size_t>(nic)]);
  map.nics = std::move(used);
  node.nics_per_node = std::ssize(map.nics);
  bool links_known = true, rates_known = true;
  for (NodePart& part : map.parts) {
    if (part.link.base() <= 0 && part.parent >= 0) links_known = false;
    if (part.link.base() <= 0) part.link = cluster.gpu.pcie_bandwidth;
    if (part.kind != NodePartKind::nic) continue;
    if (part.rate.base() <= 0) rates_known = false;
    if (part.rate.base() <= 0 || rate_named) part.rate = node.nic_bandwidth;
  }
  if (!rates_known) map.not_in_file.push_back("NIC rates");
  if (!links_known) map.not_in_file.push_back("PCIe links");
  if (map.socket_link.base() <= 0) {
    map.socket_link = socket_bandwidth(node.cpu, cluster.gpu.pcie_generation);
    map.not_in_file.push_back("the link between processors");
  }
  if (!map.nvlinks_known) {
    map.not_in_file.push_back("NVLinks");
    const NodeMap usual = laid_out_node(cluster);
    map.nvlinks = usual.nvlinks;
    map.nvswitch_links = usual.nvswitch_links;
  }
  map.routes = all_group_routes(map, cluster.network.efficiency);
  node.map = std::make_shared<const NodeMap>(std::move(map));
}

namespace {

std::vector<HostSlots> hosts_of(const SpecNode& hosts) {
  if (hosts.is_object()) {
    hosts.allow_only({"hostfile", "text"});
    const std::filesystem::path path(hosts.required("hostfile").as_string());
    if (const auto text = hosts.optional("text")) return parse_hostfile(text->as_string(), path.string());
    const std::filesystem::path folder = std::filesystem::path(hosts.file()).parent_path();
    const std::string file = path.is_absolute() ? path.string() : (folder / path).string();
    return parse_hostfile(read_text_file(file, kLargestNodeMapBytes), file);
  }
  std::string list;
  if (hosts.is_array()) {
    for (const SpecNode& item : hosts.items()) list += (list.empty() ? "" : ",") + item.as_string();
  } else {
    if (!hosts.is_string()) hosts.fail_expected("a list of hosts: \"dgx[01-04]\", names, or {\"hostfile\": PATH}");
    list = hosts.as_string();
  }
  std::vector<HostSlots> named;
  for (std::string& host : parse_host_list(list, hosts.where())) named.push_back({std::move(host), 0});
  return named;
}

}  // namespace

void read_hosts(const SpecNode& hosts, ClusterSpec& cluster) {
  const std::vector<HostSlots> named = hosts_of(hosts);
  const std::int64_t per_node = cluster.node.gpus_per_node;
  auto names = std::make_shared<std::vector<std::string>>();
  cluster.gpus = 0;
  for (const HostSlots& host : named) {
    const std::int64_t gpus = host.slots > 0 ? host.slots : per_node;
    const bool last = &host == &named.back();
    if (gpus != per_node && !(last && gpus < per_node))
      hosts.fail(fmt::format("{} slots on host {}, but {} GPUs in each node; only the last may be part full", gpus,
                             host.host, per_node));
    cluster.gpus += gpus;
    names->push_back(host.host);
  }
  cluster.hosts = std::move(names);
}

}  // namespace foretrain
