#include "sim/topology.h"

#include <algorithm>
#include <array>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "base/spec_error.h"
#include "hwmodels/health.h"
#include "hwmodels/node_map.h"

namespace foretrain::sim {
namespace {

using Vertex = std::int32_t;

constexpr std::array<std::string_view, 7> kKindNames = {"gpu", "nvswitch", "pcie switch", "socket",
                                                        "nic", "leaf",     "spine"};

/// A well-mixed function of a flow's ends and channel: which of several equal ways it takes (finaliser of SplitMix64).
std::uint64_t flow_hash(std::int64_t from, std::int64_t to, std::int32_t channel) {
  std::uint64_t h = (static_cast<std::uint64_t>(from) << 40) ^ (static_cast<std::uint64_t>(to) << 16) ^
                    static_cast<std::uint64_t>(channel);
  h += 0x9e3779b97f4a7c15u;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  return h ^ (h >> 31);
}

/// A dead link stays in the graph, as slow as nothing: no way leads over it.
double alive(double share) { return std::max(share, 1e-9); }

struct LinkOfEdge {
  LinkId link = kNone;
};

}  // namespace

struct Topology::Impl {
  using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, LinkOfEdge>;

  explicit Impl(const ClusterSpec& cluster);

  Vertex add(VertexKind kind);
  void join(Vertex a, Vertex b, BytesPerSecond each_way);
  void add_node_fabric();
  void add_nvlink();
  void add_network();

  [[nodiscard]] std::int64_t node_of(std::int64_t gpu) const { return gpu / spec.node.gpus_per_node; }
  [[nodiscard]] Vertex gpu(std::int64_t number) const { return gpus[static_cast<std::size_t>(number)]; }
  /// The part of the node's map that GPU `number` is.
  [[nodiscard]] std::int32_t part_of_gpu(std::int64_t number) const {
    return map.gpus[static_cast<std::size_t>(number % spec.node.gpus_per_node)];
  }
  [[nodiscard]] std::int32_t part_of_nic(std::int64_t nic_of_node) const {
    return map.nics[static_cast<std::size_t>(nic_of_node)];
  }
  [[nodiscard]] Vertex& vertex_of(std::int64_t node, std::int32_t part) {
    return parts[static_cast<std::size_t>(node) * map.parts.size() + static_cast<std::size_t>(part)];
  }
  [[nodiscard]] Vertex vertex_of(std::int64_t node, std::int32_t part) const {
    return parts[static_cast<std::size_t>(node) * map.parts.size() + static_cast<std::size_t>(part)];
  }
  /// NVLinks between two GPUs of a node.
  [[nodiscard]] std::int32_t nvlinks_between(std::int64_t a, std::int64_t b) const {
    const std::int64_t n = spec.node.gpus_per_node;
    return map.nvlinks[static_cast<std::size_t>(a % n * n + b % n)];
  }
  [[nodiscard]] std::int64_t nic_for(std::int64_t gpu, std::int32_t channel) const;
  [[nodiscard]] Vertex nic(std::int64_t node, std::int64_t nic_of_node) const {
    return nics[static_cast<std::size_t>(node * spec.node.nics_per_node + nic_of_node)];
  }
  [[nodiscard]] std::int64_t leaf_of_nic(std::int64_t node, std::int64_t nic_of_node) const {
    const std::int64_t group = node / spec.network.nodes_per_leaf;
    return spec.node.rail_optimised ? group * spec.node.nics_per_node + nic_of_node : group;
  }
  [[nodiscard]] bool share_nvlink(std::int64_t a, std::int64_t b) const;
  void walk_nvlink(std::vector<Vertex>& way, std::int64_t from, std::int64_t to, std::uint64_t hash) const;
  void walk_host(std::vector<Vertex>& way, std::int64_t node, std::int32_t from, std::int32_t to) const;
  [[nodiscard]] std::vector<Vertex> way(std::int64_t from, std::int64_t to, const RouteOptions& options) const;
  [[noreturn]] void fail_cut_off(std::int64_t from, std::int64_t to, std::int64_t up, std::int64_t down) const;

  ClusterSpec spec;
  ClusterHealth health;
  NodeMap map;  // of every node
  std::int64_t nodes = 1;
  Graph graph;
  std::vector<TopologyVertex> vertices;
  std::vector<TopologyLink> links;
  std::array<std::int32_t, kKindNames.size()> counts{};
  std::vector<Vertex> parts;  // [nodes, parts of the map]
  std::vector<Vertex> gpus, nvswitches, nics, leaves, spines, live_spines;
};

Topology::Impl::Impl(const ClusterSpec& cluster)
    : spec(cluster),
      health(cluster),
      map(cluster.node.map ? *cluster.node.map : laid_out_node(cluster)),
      nodes(node_count(cluster)) {
  FORETRAIN_CHECK(spec.gpus >= 1 && spec.node.gpus_per_node >= 1 && spec.nvlink_domain >= 1);
  FORETRAIN_CHECK(spec.node.nics_per_node >= 0 && (spec.node.nics_per_node >= 1 || nodes == 1));
  FORETRAIN_CHECK(spec.network.nodes_per_leaf >= 1 && spec.network.oversubscription >= 1);
  FORETRAIN_CHECK(gpu_count(map) == spec.node.gpus_per_node && std::ssize(map.nics) == spec.node.nics_per_node);
  add_node_fabric();
  add_nvlink();
  if (nodes > 1) add_network();
}

Vertex Topology::Impl::add(VertexKind kind) {
  vertices.push_back({kind, counts[static_cast<std::size_t>(kind)]++});
  return static_cast<Vertex>(boost::add_vertex(graph));
}

void Topology::Impl::join(Vertex a, Vertex b, BytesPerSecond each_way) {
  FORETRAIN_CHECK(each_way.base() > 0);
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    boost::add_edge(static_cast<std::size_t>(from), static_cast<std::size_t>(to),
                    LinkOfEdge{static_cast<LinkId>(links.size())}, graph);
    links.push_back({from, to, each_way});
  }
}

/// GPUs, NICs, and the PCIe tree of every node.
void Topology::Impl::add_node_fabric() {
  for (std::int64_t g = 0; g < spec.gpus; ++g) gpus.push_back(add(VertexKind::gpu));
  parts.assign(static_cast<std::size_t>(nodes) * map.parts.size(), -1);
  const auto count = static_cast<std::int32_t>(map.parts.size());
  for (std::int64_t node = 0; node < nodes; ++node) {
    std::vector<Vertex> sockets;
    for (std::int32_t i = 0; i < count; ++i) {
      const NodePartKind kind = map.parts[static_cast<std::size_t>(i)].kind;
      if (kind != NodePartKind::socket && kind != NodePartKind::pcie_switch) continue;
      vertex_of(node, i) = add(kind == NodePartKind::socket ? VertexKind::socket : VertexKind::pcie_switch);
      if (kind != NodePartKind::socket) continue;
      for (const Vertex other : sockets) join(other, vertex_of(node, i), map.socket_link);
      sockets.push_back(vertex_of(node, i));
    }
    for (std::int64_t i = 0; i < spec.node.nics_per_node; ++i)
      nics.push_back(vertex_of(node, part_of_nic(i)) = add(VertexKind::nic));
    for (std::int64_t i = 0; i < spec.node.gpus_per_node && node * spec.node.gpus_per_node + i < spec.gpus; ++i)
      vertex_of(node, part_of_gpu(i)) = gpu(node * spec.node.gpus_per_node + i);
    for (std::int32_t i = 0; i < count; ++i) {
      const NodePart& part = map.parts[static_cast<std::size_t>(i)];
      if (part.parent < 0 || vertex_of(node, i) < 0) continue;
      const bool faulty = part.kind == NodePartKind::gpu && is_pcie(spec.node.fabric);
      const double share = faulty ? health.scale_up_share(vertex_of(node, i)) : 1;  // GPUs are the first vertices
      join(vertex_of(node, i), vertex_of(node, part.parent), share * kPcieEfficiency * part.link);
    }
  }
}

/// One vertex stands for all NVSwitches of a domain: they are non-blocking. Between GPUs each has its share of what the
/// best-joined GPU's links carry.
void Topology::Impl::add_nvlink() {
  const BytesPerSecond bandwidth = spec.node.scale_up_bandwidth;
  if (spec.node.fabric == IntraNodeFabric::nvswitch) {
    for (std::int64_t g = 0; g < spec.gpus; ++g) {
      if (g % spec.nvlink_domain == 0) nvswitches.push_back(add(VertexKind::nvswitch));
      join(gpu(g), nvswitches.back(), health.scale_up_share(g) * bandwidth);
    }
    return;
  }
  if (is_pcie(spec.node.fabric)) return;
  const double most = static_cast<double>(most_nvlinks(map));
  for (std::int64_t a = 0; a < spec.gpus; ++a)
    for (std::int64_t b = a + 1; b < spec.gpus && node_of(b) == node_of(a); ++b)
      if (nvlinks_between(a, b) > 0)
        join(gpu(a), gpu(b),
             std::min(health.scale_up_share(a), health.scale_up_share(b)) * nvlinks_between(a, b) / most * bandwidth);
}

void Topology::Impl::add_network() {
  const BytesPerSecond port = spec.network.efficiency * spec.node.nic_bandwidth;
  const std::int64_t leaf_number = leaf_count(spec);
  for (std::int64_t i = 0; i < leaf_number; ++i) leaves.push_back(add(VertexKind::leaf));
  for (std::int64_t node = 0; node < nodes; ++node)
    for (std::int64_t i = 0; i < spec.node.nics_per_node; ++i)
      join(nic(node, i), leaves[static_cast<std::size_t>(leaf_of_nic(node, i))],
           alive(health.nic_share(node, i)) * port);
  // Up-links as fast as a NIC, as many as the oversubscription leaves, rounded up and then slowed to match it.
  const std::int64_t spine_number = spine_count(spec);
  for (std::int64_t i = 0; i < spine_number; ++i) spines.push_back(add(VertexKind::spine));
  for (std::int64_t i = 0; i < spine_number; ++i)
    if (health.spine_share(i) > 0) live_spines.push_back(spines[static_cast<std::size_t>(i)]);
  if (spine_number == 0) return;
  const BytesPerSecond up = leaf_up_links(spec) / static_cast<double>(spine_number) * port;
  for (std::int64_t l = 0; l < leaf_number; ++l)
    for (std::int64_t i = 0; i < spine_number; ++i)
      join(leaves[static_cast<std::size_t>(l)], spines[static_cast<std::size_t>(i)],
           alive(health.leaf_share(l) * health.spine_share(i)) * up);
}

/// The NIC (of its node) that `gpu` sends `channel` through: those nearest to it that work in turn.
std::int64_t Topology::Impl::nic_for(std::int64_t gpu, std::int32_t channel) const {
  std::vector<std::int64_t> nearest;
  NodeDistance least = NodeDistance::sys;
  for (std::int64_t i = 0; i < spec.node.nics_per_node; ++i) {
    if (health.nic_share(node_of(gpu), i) <= 0) continue;
    const NodeDistance d = distance(map, part_of_gpu(gpu), part_of_nic(i));
    if (d < least) nearest.clear();
    least = std::min(least, d);
    if (d == least) nearest.push_back(i);
  }
  FORETRAIN_CHECK(!nearest.empty());  // a node without a working NIC is refused when the cluster is read
  return nearest[static_cast<std::size_t>(channel) % nearest.size()];
}

bool Topology::Impl::share_nvlink(std::int64_t a, std::int64_t b) const {
  switch (spec.node.fabric) {
    case IntraNodeFabric::nvswitch:
      return a / spec.nvlink_domain == b / spec.nvlink_domain;
    case IntraNodeFabric::nvlink_mesh:
    case IntraNodeFabric::nvlink_cube_mesh:
      return node_of(a) == node_of(b);
    case IntraNodeFabric::nvlink_bridge:
      return node_of(a) == node_of(b) && nvlinks_between(a, b) > 0;
    case IntraNodeFabric::pcie:
    case IntraNodeFabric::pcie_no_p2p:
      return false;
  }
  return false;
}

/// Appends the way from GPU `from`, which `way` ends with, to GPU `to`.
void Topology::Impl::walk_nvlink(std::vector<Vertex>& way, std::int64_t from, std::int64_t to,
                                 std::uint64_t hash) const {
  if (from == to) return;
  if (spec.node.fabric == IntraNodeFabric::nvswitch) {
    way.push_back(nvswitches[static_cast<std::size_t>(from / spec.nvlink_domain)]);
  } else if (nvlinks_between(from, to) == 0) {
    const std::int64_t n = spec.node.gpus_per_node, first = node_of(from) * n;
    std::vector<std::int64_t> between;
    for (std::int64_t g = first; g < std::min(first + n, spec.gpus); ++g)
      if (nvlinks_between(from, g) > 0 && nvlinks_between(g, to) > 0) between.push_back(g);
    if (!between.empty()) way.push_back(gpu(between[hash % between.size()]));
  }
  way.push_back(gpu(to));
}

/// Appends the way through the PCIe tree of `node` from part to part, the first left out. Without peer-to-peer,
/// everything goes through host memory.
void Topology::Impl::walk_host(std::vector<Vertex>& way, std::int64_t node, std::int32_t from, std::int32_t to) const {
  const std::vector<std::int32_t> passed = way_between(map, from, to, spec.node.fabric == IntraNodeFabric::pcie_no_p2p);
  for (std::size_t i = 1; i < passed.size(); ++i) way.push_back(vertex_of(node, passed[i]));
}

void Topology::Impl::fail_cut_off(std::int64_t from, std::int64_t to, std::int64_t up, std::int64_t down) const {
  const std::string why = live_spines.empty()
                              ? "every spine is dead"
                              : fmt::format("the up-links of leaf {} are dead", health.leaf_share(up) <= 0 ? up : down);
  throw SpecError("cluster.faults",
                  fmt::format("GPU {} of node {} cannot reach GPU {} of node {}: {}", from % spec.node.gpus_per_node,
                              node_of(from), to % spec.node.gpus_per_node, node_of(to), why));
}

std::vector<Vertex> Topology::Impl::way(std::int64_t from, std::int64_t to, const RouteOptions& options) const {
  const std::uint64_t hash = flow_hash(from, to, options.channel);
  std::vector<Vertex> way{gpu(from)};
  if (share_nvlink(from, to)) {
    walk_nvlink(way, from, to, hash);
    return way;
  }
  if (node_of(from) == node_of(to)) {
    walk_host(way, node_of(from), part_of_gpu(from), part_of_gpu(to));
    return way;
  }
  const std::int64_t to_nic = nic_for(to, options.channel);
  std::int64_t sender = from;
  if (options.pxn && spec.node.rail_optimised && nic_for(from, options.channel) != to_nic) {
    const std::int64_t n = spec.node.gpus_per_node, relay = node_of(from) * n + to % n;
    if (relay < spec.gpus && share_nvlink(from, relay)) sender = relay;
  }
  walk_nvlink(way, from, sender, hash);
  const std::int64_t from_nic = nic_for(sender, options.channel);
  walk_host(way, node_of(from), part_of_gpu(sender), part_of_nic(from_nic));
  const std::int64_t up = leaf_of_nic(node_of(from), from_nic), down = leaf_of_nic(node_of(to), to_nic);
  way.push_back(leaves[static_cast<std::size_t>(up)]);
  if (up != down) {
    if (live_spines.empty() || health.leaf_share(up) <= 0 || health.leaf_share(down) <= 0)
      fail_cut_off(from, to, up, down);
    way.push_back(live_spines[hash % live_spines.size()]);
    way.push_back(leaves[static_cast<std::size_t>(down)]);
  }
  way.push_back(nic(node_of(to), to_nic));
  walk_host(way, node_of(to), part_of_nic(to_nic), part_of_gpu(to));
  return way;
}

Topology::Topology(const ClusterSpec& cluster) : impl_(new Impl(cluster)) {}
Topology::~Topology() = default;
Topology::Topology(Topology&&) noexcept = default;
Topology& Topology::operator=(Topology&&) noexcept = default;

const std::vector<TopologyVertex>& Topology::vertices() const { return impl_->vertices; }
const std::vector<TopologyLink>& Topology::links() const { return impl_->links; }
std::int64_t Topology::count(VertexKind kind) const { return impl_->counts[static_cast<std::size_t>(kind)]; }

std::string Topology::name(std::int32_t vertex) const {
  const TopologyVertex& v = impl_->vertices[static_cast<std::size_t>(vertex)];
  return fmt::format("{} {}", kKindNames[static_cast<std::size_t>(v.kind)], v.number);
}

bool Topology::connected() const {
  // Every link has its reverse: what one vertex reaches reaches it.
  std::vector<boost::default_color_type> colors(impl_->vertices.size());
  const auto color_map =
      boost::make_iterator_property_map(colors.begin(), boost::get(boost::vertex_index, impl_->graph));
  boost::breadth_first_search(impl_->graph, boost::vertex(0, impl_->graph), boost::color_map(color_map));
  return std::count(colors.begin(), colors.end(), boost::black_color) == std::ssize(colors);
}

std::int64_t Topology::nic_of(std::int64_t gpu, std::int32_t channel) const { return impl_->nic_for(gpu, channel); }

std::vector<LinkId> Topology::route(std::int64_t from, std::int64_t to, const RouteOptions& options) const {
  FORETRAIN_CHECK(from >= 0 && from < impl_->spec.gpus && to >= 0 && to < impl_->spec.gpus && options.channel >= 0);
  std::vector<LinkId> route;
  if (from == to) return route;
  const std::vector<Vertex> way = impl_->way(from, to, options);
  for (std::size_t i = 0; i + 1 < way.size(); ++i) {
    const auto [edge, joined] =
        boost::edge(static_cast<std::size_t>(way[i]), static_cast<std::size_t>(way[i + 1]), impl_->graph);
    FORETRAIN_CHECK(joined);
    route.push_back(impl_->graph[edge].link);
  }
  return route;
}

}  // namespace foretrain::sim
