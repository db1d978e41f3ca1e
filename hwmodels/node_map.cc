#include "hwmodels/node_map.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

#include "base/check.h"

namespace foretrain {
namespace {

/// NVLinks between GPUs i and j of a DGX-1 with V100: a hybrid cube mesh, six a GPU.
/// Source: NVIDIA DGX-1 System Architecture white paper (WP-08437), figure 4; `nvidia-smi topo -m` of it.
constexpr std::array<std::array<std::int32_t, 8>, 8> kCubeMesh = {{{0, 1, 1, 2, 2, 0, 0, 0},
                                                                   {1, 0, 2, 1, 0, 2, 0, 0},
                                                                   {1, 2, 0, 2, 0, 0, 1, 0},
                                                                   {2, 1, 2, 0, 0, 0, 0, 1},
                                                                   {2, 0, 0, 0, 0, 1, 1, 2},
                                                                   {0, 2, 0, 0, 1, 0, 2, 1},
                                                                   {0, 0, 1, 0, 1, 2, 0, 2},
                                                                   {0, 0, 0, 1, 2, 1, 2, 0}}};

const NodePart& part_at(const NodeMap& map, std::int32_t index) { return map.parts[static_cast<std::size_t>(index)]; }

std::int32_t add(NodeMap& map, NodePartKind kind, std::int32_t parent, BytesPerSecond link) {
  map.parts.push_back({kind, parent, "", link, {}, -1});
  return static_cast<std::int32_t>(map.parts.size()) - 1;
}

void lay_out_nvlinks(const ClusterSpec& cluster, NodeMap& map) {
  const std::int64_t n = gpu_count(map);
  map.nvlinks.assign(static_cast<std::size_t>(n * n), 0);
  map.nvswitch_links.assign(static_cast<std::size_t>(n), 0);
  switch (cluster.node.fabric) {
    case IntraNodeFabric::nvswitch:
      map.nvswitch_links.assign(static_cast<std::size_t>(n), 1);
      break;
    case IntraNodeFabric::nvlink_mesh:
      for (std::int64_t i = 0; i < n * n; ++i) map.nvlinks[static_cast<std::size_t>(i)] = i / n == i % n ? 0 : 1;
      break;
    case IntraNodeFabric::nvlink_cube_mesh:
      if (n > 8) throw std::invalid_argument(fmt::format("an NVLink cube mesh joins 8 GPUs, not {}", n));
      for (std::int64_t i = 0; i < n * n; ++i)
        map.nvlinks[static_cast<std::size_t>(i)] =
            kCubeMesh[static_cast<std::size_t>(i / n)][static_cast<std::size_t>(i % n)];
      break;
    case IntraNodeFabric::nvlink_bridge:
      for (std::int64_t i = 0; i < n * n; ++i)
        map.nvlinks[static_cast<std::size_t>(i)] = i / n != i % n && i / n / 2 == i % n / 2 ? 1 : 0;
      break;
    case IntraNodeFabric::pcie:
    case IntraNodeFabric::pcie_no_p2p:
      break;
  }
}

}  // namespace

std::vector<std::int32_t> way_up(const NodeMap& map, std::int32_t part) {
  std::vector<std::int32_t> way;
  for (; part >= 0; part = part_at(map, part).parent) way.push_back(part);
  return way;
}

std::vector<std::int32_t> way_between(const NodeMap& map, std::int32_t a, std::int32_t b, bool by_host) {
  std::vector<std::int32_t> way = way_up(map, a);
  std::vector<std::int32_t> down = way_up(map, b);
  // Both end at a socket: what they share at their ends is not passed, but for the part at which they meet.
  std::int32_t meeting = -1;
  while (!way.empty() && !down.empty() && way.back() == down.back() && (meeting < 0 || !by_host)) {
    meeting = way.back();
    way.pop_back();
    down.pop_back();
  }
  if (meeting >= 0) way.push_back(meeting);
  way.insert(way.end(), down.rbegin(), down.rend());
  return way;
}

NodeDistance distance(const NodeMap& map, std::int32_t a, std::int32_t b) {
  const std::vector<std::int32_t> from = way_up(map, a), to = way_up(map, b);
  if (from.back() != to.back()) return NodeDistance::sys;
  const std::vector<std::int32_t> way = way_between(map, a, b);
  if (std::find(way.begin(), way.end(), from.back()) != way.end()) return NodeDistance::phb;
  return way.size() <= 3 ? NodeDistance::pix : NodeDistance::pxb;
}

std::vector<std::int32_t> nearest_nics(const NodeMap& map, std::int64_t gpu) {
  std::vector<std::int32_t> nearest;
  NodeDistance least = NodeDistance::sys;
  for (std::size_t i = 0; i < map.nics.size(); ++i) {
    const NodeDistance d = distance(map, map.gpus[static_cast<std::size_t>(gpu)], map.nics[i]);
    if (d < least) nearest.clear();
    least = std::min(least, d);
    if (d == least) nearest.push_back(static_cast<std::int32_t>(i));
  }
  return nearest;
}

std::vector<std::int32_t> nics_in_use(const NodeMap& map) {
  // A GPU whose NICs are all beyond the processors' link takes those of the others, where these have nearer ones.
  std::vector<std::vector<std::int32_t>> of_gpu;
  NodeDistance least = NodeDistance::sys;
  for (std::int64_t g = 0; g < gpu_count(map); ++g) {
    of_gpu.push_back(nearest_nics(map, g));
    for (const std::int32_t nic : of_gpu.back())
      least = std::min(least,
                       distance(map, map.gpus[static_cast<std::size_t>(g)], map.nics[static_cast<std::size_t>(nic)]));
  }
  std::vector<std::int32_t> used;
  for (std::int64_t g = 0; g < gpu_count(map); ++g)
    for (const std::int32_t nic : of_gpu[static_cast<std::size_t>(g)]) {
      const NodeDistance d =
          distance(map, map.gpus[static_cast<std::size_t>(g)], map.nics[static_cast<std::size_t>(nic)]);
      if (d < NodeDistance::sys || least == NodeDistance::sys) used.push_back(nic);
    }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  return used;
}

std::int64_t most_nvlinks(const NodeMap& map) {
  const auto n = static_cast<std::ptrdiff_t>(map.gpus.size());
  std::int64_t most = 0;
  for (auto row = map.nvlinks.begin(); row != map.nvlinks.end(); row += n)
    most = std::max(most, std::accumulate(row, row + n, std::int64_t{0}));
  return most;
}

std::string node_difference(const NodeMap& a, const NodeMap& b) {
  if (a.gpus.size() != b.gpus.size()) return fmt::format("{} GPUs, not {}", b.gpus.size(), a.gpus.size());
  if (a.nics.size() != b.nics.size()) return fmt::format("{} NICs, not {}", b.nics.size(), a.nics.size());
  if (a.compute_capability != b.compute_capability || a.gpu_device != b.gpu_device) return "other GPUs";
  if (a.cpu != b.cpu || a.socket_link != b.socket_link) return "other processors";
  if (a.nvlinks != b.nvlinks || a.nvswitch_links != b.nvswitch_links || a.nvlinks_known != b.nvlinks_known)
    return "other NVLinks";
  if (a.c2c != b.c2c) return "other links between GPUs and processors";
  if (a.parts.size() != b.parts.size() || a.gpus != b.gpus || a.nics != b.nics) return "another tree of PCIe switches";
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    const NodePart &x = a.parts[i], &y = b.parts[i];
    if (x.kind != y.kind || x.parent != y.parent) return "another tree of PCIe switches";
    if (x.link != y.link) return fmt::format("another PCIe link at {}", y.name);
    if (x.rate != y.rate || x.rail != y.rail) return fmt::format("another rate or rail of NIC {}", y.name);
  }
  return "";
}

NodeMap laid_out_node(const ClusterSpec& cluster) {
  const std::int64_t gpus = cluster.node.gpus_per_node, nics = cluster.node.nics_per_node;
  FORETRAIN_CHECK(gpus >= 1 && nics >= 0);
  const std::int64_t switches =
      std::max(std::gcd(gpus, std::max<std::int64_t>(1, nics)), std::min<std::int64_t>(2, gpus));
  const std::int64_t sockets = std::min<std::int64_t>(2, switches);
  const BytesPerSecond pcie = cluster.gpu.pcie_bandwidth;
  NodeMap map;
  for (std::int64_t i = 0; i < sockets; ++i) add(map, NodePartKind::socket, -1, {});
  for (std::int64_t i = 0; i < switches; ++i)
    add(map, NodePartKind::pcie_switch, static_cast<std::int32_t>(i * sockets / switches), pcie);
  for (std::int64_t i = 0; i < nics; ++i) {
    const auto parent = static_cast<std::int32_t>(sockets + i * switches / std::max(nics, switches));
    map.nics.push_back(add(map, NodePartKind::nic, parent, pcie));
    map.parts.back().rate = cluster.node.nic_bandwidth;
  }
  for (std::int64_t i = 0; i < gpus; ++i) {
    const auto parent = static_cast<std::int32_t>(sockets + i * switches / gpus);
    map.gpus.push_back(add(map, NodePartKind::gpu, parent, pcie));
  }
  lay_out_nvlinks(cluster, map);
  map.c2c.assign(static_cast<std::size_t>(gpus), {});
  map.cpu = cluster.node.cpu;
  map.socket_link = socket_bandwidth(cluster.node.cpu, cluster.gpu.pcie_generation);
  return map;
}

BytesPerSecond socket_bandwidth(HostCpu cpu, int pcie_generation) {
  switch (cpu) {
    case HostCpu::intel:
      return (pcie_generation >= 4 ? 22 : 10) * GB_per_s;
    case HostCpu::amd:
      return 16 * GB_per_s;
    case HostCpu::arm:
      return 6 * GB_per_s;
  }
  return {};
}

}  // namespace foretrain
