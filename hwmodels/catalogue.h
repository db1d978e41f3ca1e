/// The catalogue: GPUs, links, networks, nodes and clusters by name, with aliases and a source beside each number.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/cluster.h"
#include "hwmodels/efficiency.h"
#include "hwmodels/gpu.h"
#include "hwmodels/residuals.h"

namespace foretrain {

/// Names with the index of what they stand for, in file order: ids and aliases.
using NameIndex = std::vector<std::pair<std::string, std::size_t>>;

/// All that hwmodels/catalogue/*.json holds; loaded once, then const. Loading and each look-up throw SpecError naming
/// the nearest known name. Names match in any case; aliases (a100, h100, dgx-h100...) are data in the JSON. A remark in
/// brackets is not part of a name: "H100-SXM5-80GB (DGX)" is h100-sxm5-80gb.
class Catalogue {
 public:
  /// From data_file("hwmodels/catalogue/...").
  static Catalogue load();

  [[nodiscard]] const GpuSpec& gpu(std::string_view name, const std::string& where) const;
  /// Of that GPU of the catalogue, or of the measured GPU nearest in architecture; `source` says which.
  [[nodiscard]] const EfficiencySpec& efficiency(const GpuSpec& gpu) const;
  /// How far predictions have been from measurements.
  [[nodiscard]] const std::shared_ptr<const ResidualSpec>& residuals() const { return residuals_; }
  /// A named node with its GPU: the cluster of one such node.
  [[nodiscard]] ClusterSpec node(std::string_view name, const std::string& where) const;

  /// The `cluster` value of a job (docs/FORMAT.md), one of
  ///   "dgx-h100", "selene"                    a node (one of it) or a cluster of the catalogue
  ///   "my/cluster.json"                       a file with one of the next two, found from the folder of the job's file
  ///   {"node": "dgx-h100", "nodes": 32}       or "gpus", which may leave the last node part full
  ///   {"gpu": "h100", "gpus": 1000, "gpus_per_node": 8, "network": {...}}
  /// What is left out is that of the GPU's usual node (GpuSpec::usual_node). SpecError for all that is unknown,
  /// contradictory or beyond what can be built.
  [[nodiscard]] ClusterSpec cluster(const SpecNode& spec) const;

  [[nodiscard]] const std::vector<GpuSpec>& gpus() const { return gpus_; }
  [[nodiscard]] const std::vector<LinkSpec>& links() const { return links_; }
  [[nodiscard]] const std::vector<ClusterSpec>& nodes() const { return nodes_; }
  [[nodiscard]] const std::vector<ClusterSpec>& clusters() const { return clusters_; }
  [[nodiscard]] const NetworkDefaults& network(NetworkKind kind) const {
    return networks_[static_cast<std::size_t>(kind)];
  }
  /// Other names that stand for this GPU or node, as the file spells them.
  [[nodiscard]] std::vector<std::string> gpu_aliases(const GpuSpec& gpu) const;
  [[nodiscard]] std::vector<std::string> node_aliases(const ClusterSpec& node) const;

 private:
  [[nodiscard]] ClusterSpec named_cluster(const SpecNode& spec, int depth) const;
  [[nodiscard]] ClusterSpec described_cluster(const SpecNode& spec) const;
  [[nodiscard]] ClusterSpec node_of_cluster(const SpecNode& spec, const NodeMap* map) const;
  [[nodiscard]] ClusterSpec cluster_at(const SpecNode& spec, int depth) const;

  std::vector<GpuSpec> gpus_;
  std::vector<LinkSpec> links_;
  std::array<NetworkDefaults, kNetworkKindNames.size()> networks_;
  std::vector<ClusterSpec> nodes_, clusters_;
  std::vector<EfficiencySpec> efficiencies_;  // one for each GPU, in the order of gpus_
  std::shared_ptr<const ResidualSpec> residuals_;
  NameIndex gpu_names_, node_names_;
};

}  // namespace foretrain
