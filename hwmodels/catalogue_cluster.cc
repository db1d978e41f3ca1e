#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/text.h"
#include "hwmodels/catalogue_reader.h"
#include "hwmodels/cluster_files.h"
#include "hwmodels/nccl_environment.h"

namespace foretrain {
namespace {

constexpr IntRange kGpus{1, 10'000'000};
constexpr IntRange kPerNode{1, 1024};

BytesPerSecond bandwidth(const SpecNode& spec) {
  const BytesPerSecond b = spec.as_bytes_per_second();
  if (!(b >= 0.01 * Gbit_per_s && b <= 1e6 * Gbit_per_s)) spec.fail_expected("a bandwidth of 10 Mb/s to 1 Pb/s");
  return b;
}

Seconds latency(const SpecNode& spec) {
  const Seconds t = spec.as_seconds();
  if (!(t >= Seconds{} && t <= 1 * seconds)) spec.fail_expected("a latency of 0 to 1 s");
  return t;
}

/// What joins `gpus_per_node` of these GPUs when the node is not the usual one.
/// V100, A100 and H100 boards of 4 have no NVSwitch: each pair is joined directly (Jean Zay, Polaris, JUWELS Booster).
/// 8 V100 are a DGX-1, 16 a DGX-2. One or two GPUs are taken as part of the usual node.
IntraNodeFabric usual_fabric(const ClusterSpec& usual, std::int64_t gpus_per_node) {
  if (usual.node.fabric == IntraNodeFabric::pcie || usual.node.fabric == IntraNodeFabric::pcie_no_p2p ||
      gpus_per_node == usual.node.gpus_per_node || usual.nvlink_domain > usual.node.gpus_per_node)
    return usual.node.fabric;
  if (gpus_per_node == 4) return IntraNodeFabric::nvlink_mesh;
  if (gpus_per_node > 8) return IntraNodeFabric::nvswitch;
  return usual.node.fabric;
}

/// NICs where only the node's whole bandwidth is known. A generation of nodes has NICs of one line rate, and cheaper
/// nodes have fewer of them: 800 Gb/s beside A100 are four of the usual 200 Gb/s (HDR), not eight of 100. Where that
/// does not come out even, as many as the usual node has, but none slower than 100 Gb/s. Omni-Path and EFA come in 100
/// Gb/s, Slingshot 11 in 200 Gb/s.
void split_node_bandwidth(BytesPerSecond whole, NetworkKind kind, std::int64_t usual_nics, NodeSpec& node) {
  double nics = static_cast<double>(std::min(usual_nics, node.gpus_per_node));
  const double of_usual_rate = std::round(whole / node.nic_bandwidth);
  const bool even = std::abs(whole / node.nic_bandwidth - of_usual_rate) < 0.01;
  if (even && of_usual_rate >= 1 && of_usual_rate < nics) nics = of_usual_rate;
  if (kind == NetworkKind::omni_path || kind == NetworkKind::efa || kind == NetworkKind::efa_v1)
    nics = std::round(whole / (100 * Gbit_per_s));
  if (kind == NetworkKind::slingshot) nics = std::round(whole / (200 * Gbit_per_s));
  nics = std::clamp(nics, 1.0, std::max(1.0, std::floor(whole / (100 * Gbit_per_s))));
  node.nics_per_node = static_cast<std::int64_t>(nics);
  node.nic_bandwidth = whole / nics;
}

void read_nics(const SpecNode& network, NetworkKind kind, NodeSpec& node) {
  const auto whole = network.optional("node_bandwidth");
  const auto one = network.optional("nic_bandwidth");
  const auto count = network.optional("nics_per_node");
  const std::int64_t usual_nics = node.nics_per_node;
  if (count) node.nics_per_node = count->as_int(kPerNode);
  if (one) node.nic_bandwidth = bandwidth(*one);
  if (!whole) return;
  const BytesPerSecond total = bandwidth(*whole);
  if (one && !count)
    node.nics_per_node = std::max<std::int64_t>(1, std::llround(total / node.nic_bandwidth));
  else if (count && !one)
    node.nic_bandwidth = total / static_cast<double>(node.nics_per_node);
  else if (!one)
    split_node_bandwidth(total, kind, usual_nics, node);
  const double ratio = static_cast<double>(node.nics_per_node) * node.nic_bandwidth / total;
  if (ratio < 0.99 || ratio > 1.01)
    whole->fail("node_bandwidth is not nics_per_node times nic_bandwidth (" + std::to_string(node.nics_per_node) +
                " NICs)");
}

/// Network and NVLink domain, over what the usual node has. A kind brings its own latency, efficiency and leaf size.
void read_network(const SpecNode& network, const NetworkTable& table, ClusterSpec& cluster) {
  network.allow_only({"kind", "node_bandwidth", "nic_bandwidth", "nics_per_node", "latency", "efficiency",
                      "oversubscription", "nodes_per_leaf", "nvlink_domain", "rail_optimised"});
  NodeSpec& node = cluster.node;
  NetworkSpec& net = cluster.network;
  if (const auto kind = network.optional("kind")) {
    NetworkKind named = read_network_kind(*kind);
    // p3dn and p4d have EFA's first generation; later GPUs came with the second.
    if (named == NetworkKind::efa && cluster.gpu.compute_capability < 90) named = NetworkKind::efa_v1;
    net = table[static_cast<std::size_t>(named)].spec;
    // Rails are how InfiniBand and RoCE pods are wired; the other fabrics reach every NIC alike.
    if (net.kind != NetworkKind::infiniband && net.kind != NetworkKind::roce) node.rail_optimised = false;
  }
  read_nics(network, net.kind, node);
  if (node.nics_per_node < node.gpus_per_node) node.rail_optimised = false;
  if (const auto t = network.optional("latency")) net.latency = latency(*t);
  if (const auto e = network.optional("efficiency")) net.efficiency = e->as_real({0.01, 1});
  if (const auto o = network.optional("oversubscription")) net.oversubscription = o->as_real({1, 1000});
  if (const auto n = network.optional("nodes_per_leaf")) net.nodes_per_leaf = n->as_int({1, 1'000'000});
  if (const auto r = network.optional("rail_optimised")) node.rail_optimised = r->as_bool();
  if (const auto domain = network.optional("nvlink_domain")) {
    cluster.nvlink_domain = domain->as_int({1, 100'000});
    if (cluster.nvlink_domain % node.gpus_per_node != 0)
      domain->fail_expected("an NVLink domain of whole nodes, a multiple of " + std::to_string(node.gpus_per_node));
  }
}

/// NCCL's version and what its environment forces.
NcclSettings read_nccl(const SpecNode& spec) {
  spec.allow_only({"version", "algorithm", "protocol", "collnet"});
  NcclSettings nccl;
  if (const auto version = spec.optional("version")) {
    const auto parsed = parse_nccl_version(version->as_string());
    if (!parsed) version->fail_expected("NCCL's version, \"2.18.3\"");
    nccl.version = *parsed;
  }
  const auto algorithm = spec.optional("algorithm"), protocol = spec.optional("protocol");
  nccl.environment =
      parse_nccl_environment(algorithm ? algorithm->as_string() : "", protocol ? protocol->as_string() : "",
                             nccl.version, algorithm ? algorithm->where() : "", protocol ? protocol->where() : "");
  if (const auto collnet = spec.optional("collnet")) nccl.collnet = collnet->as_bool();
  return nccl;
}

/// Another number of GPUs in the node: its fabric, domain and NICs follow.
void set_gpus_per_node(std::int64_t gpus_per_node, const ClusterSpec& usual, ClusterSpec& cluster) {
  if (gpus_per_node == usual.node.gpus_per_node) return;
  NodeSpec& node = cluster.node;
  node.name.clear();
  node.fabric = usual_fabric(usual, gpus_per_node);
  node.gpus_per_node = gpus_per_node;
  const bool rack = usual.nvlink_domain > usual.node.gpus_per_node && usual.nvlink_domain % gpus_per_node == 0;
  if (!rack) cluster.nvlink_domain = gpus_per_node;
  // As many NICs for each GPU as the usual node has, at least one.
  node.nics_per_node = std::max<std::int64_t>(1, usual.node.nics_per_node * gpus_per_node / usual.node.gpus_per_node);
}

/// "nodes" whole ones, or "gpus"; both where they agree.
void read_gpu_count(const SpecNode& spec, ClusterSpec& cluster) {
  const auto nodes = spec.optional("nodes");
  const auto gpus = spec.optional("gpus");
  const auto hosts = spec.optional("hosts");
  const auto topology = spec.optional("topology");
  if (hosts) {
    read_hosts(*hosts, cluster);
    const std::int64_t listed = node_count(cluster);
    if (nodes && nodes->as_int() != listed)
      nodes->fail(std::to_string(nodes->as_int()) + " nodes, but " + std::to_string(listed) + " hosts in the list");
    if (gpus && gpus->as_int() != cluster.gpus)
      gpus->fail(std::to_string(gpus->as_int()) + " GPUs, but " + std::to_string(cluster.gpus) +
                 " on the hosts listed");
    return;
  }
  if (!nodes && !gpus && topology) {  // as many as there are files
    cluster.gpus =
        (topology->is_array() ? static_cast<std::int64_t>(topology->size()) : 1) * cluster.node.gpus_per_node;
    return;
  }
  if (!nodes && !gpus) spec.fail_expected("a cluster with \"nodes\" or \"gpus\"");
  if (nodes) cluster.gpus = nodes->as_int({1, kGpus.most / cluster.node.gpus_per_node}) * cluster.node.gpus_per_node;
  if (!gpus) return;
  const std::int64_t whole = cluster.gpus;
  cluster.gpus = gpus->as_int(kGpus);
  if (nodes && round_up(cluster.gpus, cluster.node.gpus_per_node) != whole)
    gpus->fail(std::to_string(cluster.gpus) + " GPUs do not make " + std::to_string(nodes->as_int()) + " nodes of " +
               std::to_string(cluster.node.gpus_per_node));
}

/// The link between the GPUs of a node, one direction per GPU: NVLink or xGMI, or PCIe where there is nothing else.
BytesPerSecond scale_up_bandwidth(const ClusterSpec& cluster) {
  const bool pcie = cluster.node.fabric == IntraNodeFabric::pcie || cluster.node.fabric == IntraNodeFabric::pcie_no_p2p;
  return pcie || cluster.gpu.scale_up_bandwidth.base() <= 0 ? cluster.gpu.pcie_bandwidth
                                                            : cluster.gpu.scale_up_bandwidth;
}

}  // namespace

ClusterSpec Catalogue::cluster(const SpecNode& spec) const { return cluster_at(spec, 0); }

ClusterSpec Catalogue::cluster_at(const SpecNode& spec, int depth) const {
  if (spec.is_string()) return named_cluster(spec, depth);
  if (!spec.is_object()) spec.fail_expected("a cluster: a name, a path, or an object with \"node\" or \"gpu\"");
  return described_cluster(spec);
}

ClusterSpec Catalogue::named_cluster(const SpecNode& spec, int depth) const {
  const std::string name = spec.as_string();
  if (name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0) {
    if (depth > 0) spec.fail("a cluster file must describe its cluster, not name another file");
    const std::filesystem::path path(name);
    const std::filesystem::path folder = std::filesystem::path(spec.file()).parent_path();
    return cluster_at(SpecNode::read_file(path.is_absolute() ? name : (folder / path).string()), depth + 1);
  }
  NameIndex names = node_names_;
  for (std::size_t i = 0; i < clusters_.size(); ++i) names.emplace_back(clusters_[i].name, nodes_.size() + i);
  const std::size_t found = find_name(names, name, "cluster", spec.where());
  return found < nodes_.size() ? nodes_[found] : clusters_[found - nodes_.size()];
}

/// The node that a cluster is made of: by its own name, or by that of its GPU, which a topology file may give.
ClusterSpec Catalogue::node_of_cluster(const SpecNode& spec, const NodeMap* map) const {
  const auto node_name = spec.optional("node");
  const auto gpu_name = spec.optional("gpu");
  const auto per_node = spec.optional("gpus_per_node");
  if (node_name && gpu_name) gpu_name->fail("the node names its GPU: give \"node\" or \"gpu\", not both");
  if (node_name) {
    const ClusterSpec cluster = node(node_name->as_string(), node_name->where());
    if (per_node) per_node->fail("the node has its number of GPUs: give \"gpu\" instead of \"node\" to choose it");
    if (map != nullptr && gpu_count(*map) != cluster.node.gpus_per_node)
      spec.required("topology")
          .fail(std::to_string(gpu_count(*map)) + " GPUs in " + map->file + ", but " +
                std::to_string(cluster.node.gpus_per_node) + " in " + cluster.node.name +
                "; give \"gpu\" instead of \"node\"");
    return cluster;
  }
  const std::string named = gpu_name ? gpu_name->as_string() : std::string(map != nullptr ? gpu_named_by(*map) : "");
  if (named.empty() && map != nullptr)
    spec.fail("which GPUs these are, " + map->file + " does not say: give \"gpu\" or \"node\"");
  if (named.empty()) spec.fail_expected("a cluster with \"node\" or \"gpu\"");
  const GpuSpec& chosen = gpu(named, gpu_name ? gpu_name->where() : spec.where());
  ClusterSpec cluster = node(chosen.usual_node, spec.where());
  cluster.gpu = chosen;
  cluster.name = chosen.name;
  const ClusterSpec usual = cluster;
  const std::int64_t gpus = per_node ? per_node->as_int(kPerNode) : map != nullptr ? gpu_count(*map) : 0;
  if (map != nullptr && gpus != gpu_count(*map))
    per_node->fail(std::to_string(gpus) + " GPUs, but " + std::to_string(gpu_count(*map)) + " in " + map->file);
  if (gpus > 0) set_gpus_per_node(gpus, usual, cluster);
  cluster.node.scale_up_bandwidth = scale_up_bandwidth(cluster);
  return cluster;
}

ClusterSpec Catalogue::described_cluster(const SpecNode& spec) const {
  spec.allow_only({"schema", "name", "node", "nodes", "gpu", "gpus", "gpus_per_node", "intra_node", "topology", "hosts",
                   "network", "nccl", "faults"});
  if (const auto schema = spec.optional("schema"); schema && schema->as_string() != "foretrain.cluster/1")
    schema->fail_expected("\"foretrain.cluster/1\"");
  const auto topology = spec.optional("topology");
  std::optional<NodeMap> map;
  if (topology) map = read_topology(*topology);
  ClusterSpec cluster = node_of_cluster(spec, map ? &*map : nullptr);
  if (map) apply_node_map(*topology, *map, cluster);
  read_gpu_count(spec, cluster);
  if (const auto fabric = spec.optional("intra_node")) {
    const auto chosen = static_cast<IntraNodeFabric>(fabric->as_choice(kIntraNodeFabricNames, "intra-node fabric"));
    if (map && !is_pcie(chosen) && chosen != cluster.node.fabric)
      fabric->fail("the topology makes it " +
                   std::string(kIntraNodeFabricNames[static_cast<std::size_t>(cluster.node.fabric)]) +
                   ": \"intra_node\" may only take NVLinks away (pcie, pcie_no_p2p)");
    if (chosen != cluster.node.fabric || !map) {
      cluster.node.fabric = chosen;
      cluster.node.scale_up_bandwidth = scale_up_bandwidth(cluster);
    }
  }
  const auto network = spec.optional("network");
  if (map && !map->nics.empty() && network)
    for (const char* key : {"nics_per_node", "node_bandwidth"})
      if (network->has(key))
        network->required(key).fail("the topology file has the NICs: give \"nic_bandwidth\" where it lacks their rate");
  if (network) read_network(*network, networks_, cluster);
  if (map) settle_node_map(*topology, std::move(*map), network, cluster);
  if (const auto nccl = spec.optional("nccl")) cluster.nccl = read_nccl(*nccl);
  if (const auto name = spec.optional("name")) cluster.name = name->as_string();
  if (const auto faults = spec.optional("faults")) cluster.faults = read_faults(*faults, cluster);
  return cluster;
}

}  // namespace foretrain
