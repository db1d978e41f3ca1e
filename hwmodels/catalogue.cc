#include "hwmodels/catalogue.h"

#include <algorithm>

#include "base/check.h"
#include "base/data_dir.h"
#include "hwmodels/catalogue_file.h"
#include "hwmodels/catalogue_reader.h"

namespace foretrain {

std::span<const BuiltInFile> built_in_catalogue();  // written by the build

SpecNode catalogue_file(std::string_view name) {
  const DataText file = data_text("hwmodels/catalogue/" + std::string(name), built_in_catalogue());
  return SpecNode::parse(file.content, file.name);
}

namespace {

std::vector<std::string> other_names(const NameIndex& names, const std::string& id) {
  const auto own = std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == id; });
  std::vector<std::string> others;
  if (own == names.end()) return others;
  for (const auto& [spelling, index] : names)
    if (index == own->second && spelling != id) others.push_back(spelling);
  return others;
}

}  // namespace

Catalogue Catalogue::load() {
  Catalogue catalogue;
  GpuTable gpus = read_gpus(catalogue_file("gpus.json"));
  catalogue.networks_ = read_networks(catalogue_file("networks.json"));
  catalogue.links_ = read_links(catalogue_file("links.json"));
  const SpecNode node_file = catalogue_file("nodes.json");
  NodeTable nodes = read_nodes(node_file, gpus, catalogue.networks_);
  for (const GpuSpec& gpu : gpus.gpus) find_name(nodes.names, gpu.usual_node, "node", "usual_node of " + gpu.name);
  const std::vector<EfficiencySpec> measured = read_efficiencies(catalogue_file("efficiency.json"));
  for (const GpuSpec& gpu : gpus.gpus) catalogue.efficiencies_.push_back(efficiency_of(gpu, measured, gpus.gpus));
  catalogue.residuals_ = std::make_shared<const ResidualSpec>(read_residuals(catalogue_file("residuals.json")));
  catalogue.gpus_ = std::move(gpus.gpus);
  catalogue.gpu_names_ = std::move(gpus.names);
  catalogue.nodes_ = std::move(nodes.nodes);
  catalogue.node_names_ = std::move(nodes.names);

  const CatalogueFile file(catalogue_file("clusters.json"), "foretrain.clusters/1", "clusters");
  for (const auto& [name, row] : file.rows()) {
    row.allow_only({"cluster", "size"});
    ClusterSpec cluster = catalogue.cluster(row.required("cluster"));
    cluster.name = name;
    (void)file.fact(row, "size", cluster.source);
    catalogue.clusters_.push_back(std::move(cluster));
  }
  return catalogue;
}

const GpuSpec& Catalogue::gpu(std::string_view name, const std::string& where) const {
  return gpus_[find_name(gpu_names_, name, "gpu", where)];
}

const EfficiencySpec& Catalogue::efficiency(const GpuSpec& gpu) const {
  const auto same = std::find_if(gpus_.begin(), gpus_.end(), [&](const GpuSpec& g) { return g.name == gpu.name; });
  FORETRAIN_CHECK(same != gpus_.end());
  return efficiencies_[static_cast<std::size_t>(same - gpus_.begin())];
}

ClusterSpec Catalogue::node(std::string_view name, const std::string& where) const {
  return nodes_[find_name(node_names_, name, "node", where)];
}

std::vector<std::string> Catalogue::gpu_aliases(const GpuSpec& gpu) const { return other_names(gpu_names_, gpu.name); }

std::vector<std::string> Catalogue::node_aliases(const ClusterSpec& node) const {
  return other_names(node_names_, node.node.name);
}

}  // namespace foretrain
