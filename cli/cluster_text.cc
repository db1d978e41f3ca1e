#include "cli/cluster_text.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "hwmodels/host_list.h"
#include "hwmodels/node_map.h"
#include "hwmodels/node_routes.h"

namespace foretrain::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string_view name_of(IntraNodeFabric fabric) { return kIntraNodeFabricNames[static_cast<std::size_t>(fabric)]; }
std::string_view name_of(NetworkKind kind) { return kNetworkKindNames[static_cast<std::size_t>(kind)]; }

/// The node's inside: as its file has it, or as its counts lay it out.
NodeMap map_of(const ClusterSpec& cluster) {
  if (cluster.node.map) return *cluster.node.map;
  NodeMap map = laid_out_node(cluster);
  map.routes = all_group_routes(map, cluster.network.efficiency);
  return map;
}

const NodePart& part_at(const NodeMap& map, std::int32_t index) { return map.parts[static_cast<std::size_t>(index)]; }

std::string nic_name(const NodeMap& map, std::int32_t nic) {
  const std::string& name = part_at(map, map.nics[static_cast<std::size_t>(nic)]).name;
  return name.empty() ? fmt::format("NIC {}", nic) : name;
}

/// "1, 2x3": one NVLink to GPU 1, two to GPU 3; "18 to NVSwitches".
std::string nvlinks_text(const NodeMap& map, std::size_t gpu) {
  if (map.nvswitch_links[gpu] > 0)
    return map.nvlinks_known ? fmt::format("{} to NVSwitches", map.nvswitch_links[gpu]) : "NVSwitches";
  std::vector<std::string> joined;
  for (std::size_t other = 0; other < map.gpus.size(); ++other) {
    const std::int32_t links = map.nvlinks[gpu * map.gpus.size() + other];
    if (links > 0) joined.push_back(map.nvlinks_known ? fmt::format("{}x{}", links, other) : fmt::format("{}", other));
  }
  return joined.empty() ? "-" : fmt::format("{}", fmt::join(joined, ", "));
}

std::string_view distance_name(const NodeMap& map, std::size_t gpu, std::int32_t nic) {
  return kNodeDistanceNames[static_cast<std::size_t>(
      distance(map, map.gpus[gpu], map.nics[static_cast<std::size_t>(nic)]))];
}

std::int64_t socket_count(const NodeMap& map) {
  std::int64_t count = 0;
  for (const NodePart& part : map.parts) count += part.kind == NodePartKind::socket ? 1 : 0;
  return count;
}

/// Groups of a node's GPUs worth a line: one GPU, neighbours, and the whole node.
std::vector<std::int64_t> group_sizes(const NodeMap& map) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size < gpu_count(map); size *= 2) sizes.push_back(size);
  sizes.push_back(gpu_count(map));
  return sizes;
}

std::string gpu_table(const NodeMap& map) {
  TextTable table{
      {"GPU", "device", "socket", "PCIe", "NVLinks", "nearest NICs", "distance"}, {}, {true, false, true, true}};
  std::vector<std::int32_t> sockets;
  for (std::size_t i = 0; i < map.parts.size(); ++i)
    if (map.parts[i].kind == NodePartKind::socket) sockets.push_back(static_cast<std::int32_t>(i));
  for (std::size_t g = 0; g < map.gpus.size(); ++g) {
    const NodePart& gpu = part_at(map, map.gpus[g]);
    const std::int32_t socket = way_up(map, map.gpus[g]).back();
    const auto number = std::find(sockets.begin(), sockets.end(), socket) - sockets.begin();
    std::vector<std::string> nics;
    const std::vector<std::int32_t> nearest = nearest_nics(map, static_cast<std::int64_t>(g));
    for (const std::int32_t nic : nearest) nics.push_back(nic_name(map, nic));
    table.rows.push_back({fmt::format("{}", g), gpu.name.empty() ? "-" : gpu.name, fmt::format("{}", number),
                          to_text(gpu.link), nvlinks_text(map, g),
                          nics.empty() ? "-" : fmt::format("{}", fmt::join(nics, ", ")),
                          nearest.empty() ? "-" : std::string(distance_name(map, g, nearest.front()))});
  }
  return to_text(table);
}

std::string group_table(const NodeMap& map) {
  TextTable table{{"neighbours", "NICs", "distance", "out, alone", "out, all at once", "NVLink rings", "sockets"},
                  {},
                  {true, true, false, true, true, true}};
  for (const std::int64_t size : group_sizes(map)) {
    const GroupRoutes& r = routes_of(map, size, 1);
    table.rows.push_back({fmt::format("{}", size), fmt::format("{:g}", r.nics),
                          r.nics > 0 ? std::string(kNodeDistanceNames[static_cast<std::size_t>(r.nic_distance)]) : "-",
                          r.nics > 0 ? to_text(r.own) : "-", r.nics > 0 ? to_text(r.shared) : "-",
                          r.nvlink_rings > 0 ? fmt::format("{:g}", r.nvlink_rings) : "-",
                          r.one_socket ? "one" : "several"});
  }
  return to_text(table);
}

}  // namespace

std::string cluster_text(const ClusterSpec& cluster) {
  const NodeMap map = map_of(cluster);
  const NodeSpec& node = cluster.node;
  const std::int64_t nodes = node_count(cluster);
  TextTable facts{{"of the cluster", "value"}, {}, {}};
  const auto add = [&](std::string what, std::string value) {
    facts.rows.push_back({std::move(what), std::move(value)});
  };
  add("GPUs", fmt::format("{} {}, {} in each of {} node{}", cluster.gpus, cluster.gpu.name, node.gpus_per_node, nodes,
                          nodes == 1 ? "" : "s"));
  if (cluster.hosts) add("hosts", shortened(host_list(*cluster.hosts), 200));
  add("node", map.file.empty() ? fmt::format("{}, laid out from its counts", node.name.empty() ? "-" : node.name)
                               : fmt::format("{} ({})", map.file, map.format));
  if (!map.not_in_file.empty())
    add("not in the file", fmt::format("{}: as in {}", fmt::join(map.not_in_file, ", "), cluster.gpu.usual_node));
  add("fabric", fmt::format("{}, {} a GPU; {} GPUs reach each other over it", name_of(node.fabric),
                            to_text(node.scale_up_bandwidth), cluster.nvlink_domain));
  add("processors", fmt::format("{}, {} socket{}, {} between two", kHostCpuNames[static_cast<std::size_t>(node.cpu)],
                                socket_count(map), socket_count(map) == 1 ? "" : "s", to_text(map.socket_link)));
  add("NICs", fmt::format("{} of {}, {}", node.nics_per_node, to_text(node.nic_bandwidth),
                          node.rail_optimised ? "rail-optimised" : "all of a node on one leaf"));
  add("network", fmt::format("{}, {} nodes a leaf, oversubscription {:g}", name_of(cluster.network.kind),
                             cluster.network.nodes_per_leaf, cluster.network.oversubscription));
  return fmt::format("{}\n{}\n{}", to_text(facts), gpu_table(map), group_table(map));
}

std::string cluster_json(const ClusterSpec& cluster) {
  const NodeMap map = map_of(cluster);
  const NodeSpec& node = cluster.node;
  Json document = {{"name", cluster.name},
                   {"gpu", cluster.gpu.name},
                   {"gpus", cluster.gpus},
                   {"nodes", node_count(cluster)},
                   {"hosts", cluster.hosts ? Json(*cluster.hosts) : Json()},
                   {"topology_file", map.file.empty() ? Json() : Json(map.file)},
                   {"topology_format", map.file.empty() ? Json() : Json(std::string(map.format))},
                   {"not_in_file", map.not_in_file},
                   {"gpus_per_node", node.gpus_per_node},
                   {"intra_node", name_of(node.fabric)},
                   {"scale_up_bytes_per_second", node.scale_up_bandwidth.base()},
                   {"nvlink_domain", cluster.nvlink_domain},
                   {"cpu", kHostCpuNames[static_cast<std::size_t>(node.cpu)]},
                   {"sockets", socket_count(map)},
                   {"socket_link_bytes_per_second", map.socket_link.base()},
                   {"nics_per_node", node.nics_per_node},
                   {"nic_bytes_per_second", node.nic_bandwidth.base()},
                   {"rail_optimised", node.rail_optimised},
                   {"network", name_of(cluster.network.kind)},
                   {"node_gpus", Json::array()},
                   {"groups", Json::array()}};
  for (std::size_t g = 0; g < map.gpus.size(); ++g) {
    Json nics = Json::array(), nvlinks = Json::array();
    for (const std::int32_t nic : nearest_nics(map, static_cast<std::int64_t>(g)))
      nics.push_back({{"nic", nic_name(map, nic)}, {"distance", distance_name(map, g, nic)}});
    for (std::size_t other = 0; other < map.gpus.size(); ++other)
      nvlinks.push_back(map.nvlinks[g * map.gpus.size() + other]);
    document["node_gpus"].push_back({{"gpu", g},
                                     {"device", part_at(map, map.gpus[g]).name},
                                     {"pcie_bytes_per_second", part_at(map, map.gpus[g]).link.base()},
                                     {"nearest_nics", nics},
                                     {"nvlinks", nvlinks},
                                     {"nvswitch_links", map.nvswitch_links[g]}});
  }
  for (const std::int64_t size : group_sizes(map)) {
    const GroupRoutes& r = routes_of(map, size, 1);
    document["groups"].push_back({{"gpus", size},
                                  {"nics", r.nics},
                                  {"distance", kNodeDistanceNames[static_cast<std::size_t>(r.nic_distance)]},
                                  {"alone_bytes_per_second", r.own.base()},
                                  {"together_bytes_per_second", r.shared.base()},
                                  {"nvlink_rings", r.nvlink_rings},
                                  {"one_socket", r.one_socket}});
  }
  return document.dump(2) + "\n";
}

}  // namespace foretrain::cli
