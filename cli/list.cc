/// `foretrain list`: what the catalogue holds, each number with its source.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/spec_node.h"
#include "base/text.h"
#include "cli/choices.h"
#include "cli/cluster_input.h"
#include "cli/cluster_text.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/catalogue_file.h"
#include "hwmodels/collective_time.h"
#include "hwmodels/kernel.h"
#include "planner/export_plan.h"
#include "planner/import_config.h"
#include "planner/model_catalogue.h"
#include "planner/problem.h"
#include "sim/schedule.h"

namespace foretrain::cli {
namespace {

using Json = nlohmann::ordered_json;

/// A list that is a catalogue file: which keys of an entry the table shows.
struct FileList {
  std::string_view what, file;
  std::array<std::string_view, 6> columns;
};
constexpr std::array kFileLists = {
    FileList{"gpus",
             "gpus.json",
             {"architecture", "memory", "memory_bandwidth", "peak/bf16", "peak/fp8", "scale_up_bandwidth"}},
    FileList{
        "nodes", "nodes.json", {"gpu", "gpus_per_node", "intra_node", "nics_per_node", "nic_bandwidth", "network"}},
    FileList{"links", "links.json", {"what", "bandwidth"}},
    FileList{"networks", "networks.json", {"latency", "efficiency", "nodes_per_leaf"}},
    FileList{"clusters", "clusters.json", {"cluster", "size"}},
};

/// A list that is a table in the program: one line an entry.
struct Entry {
  std::string name, summary, source;
};
std::vector<Entry> list_schedules() {
  std::vector<Entry> entries;
  for (const sim::Schedule& schedule : sim::schedules())
    entries.push_back({std::string(schedule.name), std::string(schedule.summary), std::string(schedule.source)});
  return entries;
}
std::vector<Entry> list_collectives() {
  std::vector<Entry> entries;
  for (const std::string_view name : kCollectiveNames)
    entries.push_back({std::string(name), "foretrain collective", "NCCL 2.28.9"});
  return entries;
}
std::vector<Entry> list_kernels() {
  const std::string page = "docs/models/kernel.md";
  std::vector<Entry> entries = {
      {"gemm", "--m --n --k, --batch, --layout", "cuBLAS; " + page},
      {"attention", "--seq-q --heads-q, --seq-kv, --heads-kv, --head-dim, --backward", "arXiv 2307.08691; " + page}};
  for (std::size_t i = 0; i <= static_cast<std::size_t>(MemoryOp::grad_norm); ++i)
    entries.push_back({std::string(op_name(static_cast<MemoryOp>(i))), "--rows --cols, --backward", page});
  return entries;
}
std::vector<Entry> list_models() {
  std::vector<Entry> entries;
  for (const NamedModel& model : model_catalogue()) {
    const ModelSpec spec = load_model(SpecNode::parse(in_quotes(model.name), "model"), "");
    const double parameters = static_cast<double>(count_parameters(spec).total);
    entries.push_back(
        {model.name,
         fmt::format("{:.2f} B parameters{}", parameters / 1e9, spec.not_plannable.empty() ? "" : "; not planned yet"),
         model.source});
  }
  return entries;
}
std::vector<Entry> list_exporters() {
  std::vector<Entry> entries;
  for (const Exporter& exporter : exporters())
    entries.push_back({std::string(exporter.name), std::string(exporter.summary), std::string(exporter.source)});
  return entries;
}
std::vector<Entry> list_importers() {
  std::vector<Entry> entries;
  for (const Importer& importer : importers())
    entries.push_back({std::string(importer.name), std::string(importer.summary), "docs/EXPORT.md"});
  return entries;
}
struct BuiltInList {
  std::string_view what;
  std::vector<Entry> (*entries)();
};
constexpr std::array kBuiltInLists = {
    BuiltInList{"models", list_models},           BuiltInList{"schedules", list_schedules},
    BuiltInList{"collectives", list_collectives}, BuiltInList{"kernels", list_kernels},
    BuiltInList{"exporters", list_exporters},     BuiltInList{"importers", list_importers}};

std::string as_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// A number of the catalogue stands as {"value", "source", ...} or bare.
const Json& value_of(const Json& fact) { return fact.is_object() && fact.contains("value") ? fact["value"] : fact; }

/// Every source id below `node`, in the order of the file, once each.
void collect_sources(const Json& node, std::vector<std::string>& ids) {
  const auto add = [&](const Json& id) {
    if (id.is_string() && std::find(ids.begin(), ids.end(), as_text(id)) == ids.end()) ids.push_back(as_text(id));
  };
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.items()) {
    if (key != "source") {
      collect_sources(value, ids);
    } else if (value.is_array()) {
      for (const Json& id : value) add(id);
    } else {
      add(value);
    }
  }
}

Json read_catalogue(const FileList& list) {
  return parse_json(catalogue_file(list.file).dump(), std::string(list.file));
}

std::string legend(const Json& document, const std::vector<std::string>& ids) {
  std::string text = "\nSources:\n";
  for (const std::string& id : ids) {
    const Json& sources = document["sources"];
    text += fmt::format("  {}: {}\n", id, sources.contains(id) ? as_text(sources[id]) : "?");
  }
  return text;
}

std::string table_of(const Json& document, const FileList& list) {
  TextTable table{{"name"}, {}, {}};
  for (const std::string_view column : list.columns)
    if (!column.empty()) table.header.push_back(std::string(column.substr(column.rfind('/') + 1)));
  table.header.push_back("sources");
  std::vector<std::string> all;
  for (const auto& [name, entry] : document[std::string(list.what)].items()) {
    std::vector<std::string> row = {name};
    for (const std::string_view column : list.columns) {
      if (column.empty()) continue;
      const Json::json_pointer pointer("/" + std::string(column));
      row.push_back(entry.contains(pointer) ? as_text(value_of(entry[pointer])) : "-");
    }
    std::vector<std::string> own;
    collect_sources(entry, own);
    collect_sources(entry, all);
    row.push_back(fmt::format("{}", fmt::join(own, " ")));
    table.rows.push_back(std::move(row));
  }
  return to_text(table) + legend(document, all);
}

/// One line a number: path, value, source, confidence, note.
void add_facts(const Json& node, const std::string& path, TextTable& table) {
  if (node.is_object() && !node.contains("value")) {
    for (const auto& [key, value] : node.items()) add_facts(value, path.empty() ? key : path + "." + key, table);
    return;
  }
  const auto part = [&](const char* key) -> std::string {
    if (!node.is_object() || !node.contains(key)) return "";
    if (!node[key].is_array()) return as_text(node[key]);
    std::vector<std::string> ids;
    for (const Json& id : node[key]) ids.push_back(as_text(id));
    return fmt::format("{}", fmt::join(ids, " "));
  };
  table.rows.push_back({path, as_text(value_of(node)), part("source"), part("confidence"), part("note")});
}

/// The entry that `name` or one of its aliases means.
std::string find_entry(const Json& entries, const std::string& name, const std::string& what) {
  std::vector<std::string_view> names;
  for (const auto& [key, entry] : entries.items()) {
    names.push_back(key);
    for (const Json& alias : entry.value("aliases", Json::array()))
      if (to_lower(as_text(alias)) == to_lower(name)) return key;
  }
  return std::string(names[choose(name, names, "NAME", what.substr(0, what.size() - 1))]);
}

void list_file(const FileList& list, const ListOptions& options) {
  Json document = read_catalogue(list);
  Json& entries = document[std::string(list.what)];
  if (!options.name.empty()) {
    const std::string name = find_entry(entries, options.name, std::string(list.what));
    entries = Json{{name, Json(entries[name])}};
    if (options.format == Format::text) {
      TextTable table{{"key", "value", "source", "confidence", "note"}, {}, {}};
      add_facts(entries[name], "", table);
      std::vector<std::string> ids;
      collect_sources(entries[name], ids);
      return print(name + "\n\n" + to_text(table) + legend(document, ids));
    }
  }
  print(options.format == Format::json ? document.dump(2) + "\n" : table_of(document, list));
}

void list_built_in(const BuiltInList& list, Format format) {
  const std::vector<Entry> entries = list.entries();
  if (format == Format::json) {
    Json document = {{std::string(list.what), Json::array()}};
    for (const Entry& entry : entries)
      document[std::string(list.what)].push_back(
          {{"name", entry.name}, {"summary", entry.summary}, {"source", entry.source}});
    return print(document.dump(2) + "\n");
  }
  TextTable table{{"name", "what", "source"}, {}, {}};
  for (const Entry& entry : entries) table.rows.push_back({entry.name, entry.summary, entry.source});
  print(to_text(table));
}

}  // namespace

int list(const ListOptions& options) {
  std::vector<std::string_view> known;
  for (const FileList& row : kFileLists) known.push_back(row.what);
  for (const BuiltInList& row : kBuiltInLists) known.push_back(row.what);
  if (options.what.empty()) {
    print(fmt::format("foretrain list knows: {}\n", fmt::join(known, ", ")));
    return kDone;
  }
  const std::size_t chosen = choose(options.what, known, "WHAT", "list");
  if (!options.cluster.empty()) {
    if (known[chosen] != "clusters") throw SpecError("--cluster", "goes with `foretrain list clusters`");
    const ClusterSpec cluster = read_cluster(Catalogue::load(), options.cluster, 0);
    print(options.format == Format::json ? cluster_json(cluster) : cluster_text(cluster));
    return kDone;
  }
  if (chosen < kFileLists.size()) {
    list_file(kFileLists[chosen], options);
  } else {
    list_built_in(kBuiltInLists[chosen - kFileLists.size()], options.format);
  }
  return kDone;
}

}  // namespace foretrain::cli
