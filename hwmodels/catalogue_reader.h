/// How the catalogue's files are read: a fact is a value with its source, and every source is in the file's table.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/catalogue.h"

namespace foretrain {

/// One file of the catalogue: its schema is checked, its sources known.
class CatalogueFile {
 public:
  /// `rows` names the object that holds the entries: "gpus".
  CatalogueFile(SpecNode root, std::string_view schema, std::string_view rows);

  /// The entries by name, in file order.
  [[nodiscard]] const std::vector<std::pair<std::string, SpecNode>>& rows() const { return rows_; }

  /// The value of the fact at `owner.key`: {"value": ..., "source": ID or [ID...], "confidence": ..., "note": ...}.
  /// Adds the ids of its sources to `sources` ("me, lock"), each once. Fails for a source that the table lacks.
  SpecNode fact(const SpecNode& owner, std::string_view key, std::string& sources) const;

 private:
  void note_source(const SpecNode& id, std::string& sources) const;

  std::vector<std::string> source_ids_;
  std::vector<std::pair<std::string, SpecNode>> rows_;
};

struct GpuTable {
  std::vector<GpuSpec> gpus;
  NameIndex names;
};
GpuTable read_gpus(const SpecNode& root);

using NetworkTable = std::array<NetworkDefaults, kNetworkKindNames.size()>;
NetworkTable read_networks(const SpecNode& root);
std::vector<LinkSpec> read_links(const SpecNode& root);

struct NodeTable {
  std::vector<ClusterSpec> nodes;  // each a cluster of one such node
  NameIndex names;
};
NodeTable read_nodes(const SpecNode& root, const GpuTable& gpus, const NetworkTable& networks);

/// The index that `name` stands for. SpecError "<where>: unknown <what> ...; did you mean ...?" when there is none.
std::size_t find_name(const NameIndex& names, std::string_view name, std::string_view what, const std::string& where);
/// Adds an id and the strings of `aliases` for entry `index`; fails where a name stands twice.
void add_names(NameIndex& names, const std::string& id, const SpecNode& aliases, std::size_t index);
/// Reads a network's name, "omni-path" and "omni_path" alike.
NetworkKind read_network_kind(const SpecNode& spec);

/// `cluster.faults` (docs/FORMAT.md) of a cluster that is otherwise read. SpecError names what exists where a part does
/// not, and a node that its dead NICs cut off.
std::vector<Fault> read_faults(const SpecNode& faults, const ClusterSpec& cluster);

}  // namespace foretrain
