#include "validate/collective_hardware.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace foretrain {
namespace {

bool has(const std::string& text, std::string_view word) { return text.find(word) != std::string::npos; }

/// The network that the words name.
std::optional<NetworkKind> network_in(const std::string& text) {
  struct Word {
    std::string_view word;
    NetworkKind kind;
  };
  static constexpr std::array kWords = {Word{"efa", NetworkKind::efa},
                                        Word{"tcpxo", NetworkKind::gpudirect_tcpxo},
                                        Word{"tcpx", NetworkKind::gpudirect_tcpx},
                                        Word{"tcp", NetworkKind::ethernet_tcp},
                                        Word{"roce", NetworkKind::roce},
                                        Word{"slingshot", NetworkKind::slingshot},
                                        Word{"omni", NetworkKind::omni_path},
                                        Word{"infiniband", NetworkKind::infiniband},
                                        Word{"ndr", NetworkKind::infiniband},
                                        Word{"hdr", NetworkKind::infiniband},
                                        Word{"ethernet", NetworkKind::ethernet_tcp}};
  for (const Word& w : kWords)
    if (has(text, w.word)) return w.kind;
  return std::nullopt;
}

std::int64_t digits_at(const std::string& text, std::size_t& i) {
  std::int64_t number = 0;
  while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) && number < 1'000'000)
    number = 10 * number + (text[i++] - '0');
  return number;
}

/// "8x400Gb/s", "2x 200Gb/s", "8x NDR400", "1x200Gb/s per GPU": count and rate in Gb/s.
void read_nics(const std::string& text, NodeSpec& node) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!std::isdigit(static_cast<unsigned char>(text[i]))) continue;
    std::int64_t count = digits_at(text, i);
    if (i >= text.size() || text[i] != 'x') continue;
    ++i;
    while (i < text.size() && (text[i] == ' ' || std::isalpha(static_cast<unsigned char>(text[i])))) ++i;
    const std::int64_t rate = digits_at(text, i);
    if (count < 1 || count > 64 || rate < 10 || rate > 3200) continue;
    if (has(text, "per gpu")) count *= node.gpus_per_node;
    node.nics_per_node = count;
    node.nic_bandwidth = static_cast<double>(rate) * Gbit_per_s;
    node.rail_optimised = node.rail_optimised && count >= node.gpus_per_node;
    return;
  }
}

/// The first node of the catalogue with this GPU on this network; else the GPU's usual node on it.
ClusterSpec base_node(const GpuSpec& gpu, std::optional<NetworkKind> kind, const Catalogue& catalogue) {
  ClusterSpec usual = catalogue.node(gpu.usual_node, gpu.name);
  usual.gpu = gpu;
  if (!kind || usual.network.kind == *kind) return usual;
  for (const ClusterSpec& node : catalogue.nodes())
    if (node.gpu.name == gpu.name && node.network.kind == *kind) return node;
  usual.network = catalogue.network(*kind).spec;
  return usual;
}

}  // namespace

ClusterSpec cluster_of_run(const SpecNode& hardware, const Catalogue& catalogue) {
  const SpecNode gpu = hardware.required("gpu");
  const auto text_of = [&](std::string_view key) {
    const auto value = hardware.optional(key);
    return value ? to_lower(value->as_string()) : std::string();
  };
  const std::string fabric = text_of("fabric"), intra = text_of("intra");
  const GpuSpec& spec = catalogue.gpu(gpu.as_string(), gpu.where());
  auto kind = network_in(fabric);
  if (kind == NetworkKind::efa && spec.compute_capability < 90) kind = NetworkKind::efa_v1;
  ClusterSpec cluster = base_node(spec, kind, catalogue);
  const std::int64_t ranks_per_node = hardware.required("gpus_per_node").as_int({1, 100'000});
  NodeSpec& node = cluster.node;
  if (has(intra, "cube mesh")) {
    node.fabric = IntraNodeFabric::nvlink_cube_mesh;
  } else if (has(intra, "all-to-all")) {  // boards of 4 without a switch
    node.fabric = IntraNodeFabric::nvlink_mesh;
    node.gpus_per_node = std::max<std::int64_t>(4, ranks_per_node);
  } else if (has(intra, "nvswitch")) {
    node.fabric = IntraNodeFabric::nvswitch;
  } else if (has(intra, "pcie") && node.fabric != IntraNodeFabric::pcie_no_p2p) {
    node.fabric = IntraNodeFabric::pcie;
    node.scale_up_bandwidth = cluster.gpu.pcie_bandwidth;
  }
  // "node" means an NVLink domain in runs over racks; such a domain has the NICs of all its trays.
  cluster.nvlink_domain = std::max({cluster.nvlink_domain, node.gpus_per_node, ranks_per_node});
  if (cluster.nvlink_domain == ranks_per_node && cluster.gpu.usual_node.find("nvl72") == std::string::npos)
    node.gpus_per_node = std::max(node.gpus_per_node, ranks_per_node);
  read_nics(fabric, node);
  cluster.gpus = hardware.required("nodes").as_int({1, 1'000'000}) * ranks_per_node;
  return cluster;
}

}  // namespace foretrain
