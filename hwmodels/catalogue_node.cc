#include "hwmodels/catalogue_reader.h"

namespace foretrain {

NetworkTable read_networks(const SpecNode& root) {
  const CatalogueFile file(root, "foretrain.networks/1", "networks");
  NetworkTable table;
  std::array<bool, kNetworkKindNames.size()> seen{};
  for (const auto& [name, row] : file.rows()) {
    row.allow_only({"latency", "efficiency", "nodes_per_leaf", "host_bandwidth"});
    std::size_t kind = 0;
    while (kind < kNetworkKindNames.size() && kNetworkKindNames[kind] != name) ++kind;
    if (kind == kNetworkKindNames.size()) row.fail("\"" + name + "\" is no kind of network");
    NetworkDefaults& entry = table[kind];
    entry.spec.kind = static_cast<NetworkKind>(kind);
    entry.spec.latency = file.fact(row, "latency", entry.source).as_seconds();
    entry.spec.efficiency = file.fact(row, "efficiency", entry.source).as_real({0.01, 1});
    entry.spec.nodes_per_leaf = file.fact(row, "nodes_per_leaf", entry.source).as_int();
    if (row.has("host_bandwidth"))
      entry.spec.host_bandwidth = file.fact(row, "host_bandwidth", entry.source).as_bytes_per_second();
    seen[kind] = true;
  }
  for (std::size_t kind = 0; kind < seen.size(); ++kind)
    if (!seen[kind])
      root.required("networks").fail("network \"" + std::string(kNetworkKindNames[kind]) + "\" is missing");
  return table;
}

std::vector<LinkSpec> read_links(const SpecNode& root) {
  const CatalogueFile file(root, "foretrain.links/1", "links");
  std::vector<LinkSpec> links;
  for (const auto& [name, row] : file.rows()) {
    row.allow_only({"what", "bandwidth"});
    LinkSpec link;
    link.name = name;
    link.what = row.required("what").as_string();
    link.bandwidth = file.fact(row, "bandwidth", link.source).as_bytes_per_second();
    links.push_back(link);
  }
  return links;
}

namespace {

ClusterSpec read_node(const CatalogueFile& file, const std::string& name, const SpecNode& row, const GpuTable& gpus,
                      const NetworkTable& networks) {
  row.allow_only({"gpu", "aliases", "gpus_per_node", "intra_node", "nvlink_domain", "nics_per_node", "nic_bandwidth",
                  "network", "network_efficiency", "rail_optimised", "cpu", "note"});
  ClusterSpec cluster;
  cluster.name = name;
  const SpecNode gpu = row.required("gpu");
  cluster.gpu = gpus.gpus[find_name(gpus.names, gpu.as_string(), "gpu", gpu.where())];
  NodeSpec& node = cluster.node;
  node.name = name;
  node.gpus_per_node = file.fact(row, "gpus_per_node", cluster.source).as_int({1, 1024});
  node.fabric =
      static_cast<IntraNodeFabric>(row.required("intra_node").as_choice(kIntraNodeFabricNames, "intra-node fabric"));
  const bool pcie = node.fabric == IntraNodeFabric::pcie || node.fabric == IntraNodeFabric::pcie_no_p2p;
  node.scale_up_bandwidth = pcie ? cluster.gpu.pcie_bandwidth : cluster.gpu.scale_up_bandwidth;
  node.nics_per_node = file.fact(row, "nics_per_node", cluster.source).as_int({1, 1024});
  node.nic_bandwidth = file.fact(row, "nic_bandwidth", cluster.source).as_bytes_per_second();
  node.rail_optimised = row.required("rail_optimised").as_bool();
  node.cpu = static_cast<HostCpu>(file.fact(row, "cpu", cluster.source).as_choice(kHostCpuNames, "host processor"));
  cluster.nvlink_domain = file.fact(row, "nvlink_domain", cluster.source).as_int({1, 100'000});
  cluster.network = networks[static_cast<std::size_t>(read_network_kind(row.required("network")))].spec;
  if (row.has("network_efficiency"))
    cluster.network.efficiency = file.fact(row, "network_efficiency", cluster.source).as_real({0.01, 1});
  cluster.gpus = node.gpus_per_node;
  return cluster;
}

}  // namespace

NodeTable read_nodes(const SpecNode& root, const GpuTable& gpus, const NetworkTable& networks) {
  const CatalogueFile file(root, "foretrain.nodes/1", "nodes");
  NodeTable table;
  for (const auto& [name, row] : file.rows()) {
    add_names(table.names, name, row.required("aliases"), table.nodes.size());
    table.nodes.push_back(read_node(file, name, row, gpus, networks));
  }
  return table;
}

}  // namespace foretrain
