#include "hwmodels/catalogue_reader.h"

#include <algorithm>

#include "base/text.h"

namespace foretrain {
namespace {

/// "H100-SXM5-80GB (DGX)" -> "h100-sxm5-80gb": lower case, without a remark in brackets at the end.
std::string plain_name(std::string_view name) {
  std::string plain = to_lower(name);
  if (const std::size_t bracket = plain.find(" ("); bracket != std::string::npos && plain.back() == ')')
    plain.resize(bracket);
  return plain;
}

std::size_t position_of(const NameIndex& names, const std::string& lower) {
  const auto same = [&](const auto& entry) { return to_lower(entry.first) == lower; };
  const auto found = std::find_if(names.begin(), names.end(), same);
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace

CatalogueFile::CatalogueFile(SpecNode root, std::string_view schema, std::string_view rows) {
  root.allow_only({"schema", "conventions", "sources", rows});
  if (root.required("schema").as_string() != schema)
    root.required("schema").fail_expected("\"" + std::string(schema) + "\"");
  source_ids_ = root.required("sources").keys();
  const SpecNode table = root.required(rows);
  for (const std::string& name : table.keys()) rows_.emplace_back(name, table.required(name));
}

void CatalogueFile::note_source(const SpecNode& id, std::string& sources) const {
  const std::string name = id.as_string();
  if (std::find(source_ids_.begin(), source_ids_.end(), name) == source_ids_.end())
    id.fail_expected("an id in the file's table of sources");
  if ((", " + sources + ", ").find(", " + name + ", ") == std::string::npos)
    sources += (sources.empty() ? "" : ", ") + name;
}

SpecNode CatalogueFile::fact(const SpecNode& owner, std::string_view key, std::string& sources) const {
  static constexpr std::array<std::string_view, 3> kConfidence = {"high", "medium", "low"};
  const SpecNode fact = owner.required(key);
  fact.allow_only({"value", "source", "confidence", "note"});
  (void)fact.required("confidence").as_choice(kConfidence, "confidence");
  const SpecNode source = fact.required("source");
  if (source.is_array()) {
    for (const SpecNode& id : source.items()) note_source(id, sources);
  } else {
    note_source(source, sources);
  }
  return fact.required("value");
}

std::size_t find_name(const NameIndex& names, std::string_view name, std::string_view what, const std::string& where) {
  const std::string lower = to_lower(name);
  std::size_t position = position_of(names, lower);
  if (position == names.size()) position = position_of(names, plain_name(name));
  if (position < names.size()) return names[position].second;
  std::vector<std::string> known;
  for (const auto& [spelling, index] : names) known.push_back(spelling);
  const std::string nearest = likely_name(plain_name(name), known);
  throw SpecError(where, "unknown " + std::string(what) + " \"" + std::string(name) + "\"" +
                             (nearest.empty() ? "; `foretrain list " + std::string(what) + "s` shows the known ones"
                                              : "; did you mean \"" + nearest + "\"?"));
}

void add_names(NameIndex& names, const std::string& id, const SpecNode& aliases, std::size_t index) {
  const auto add = [&](const std::string& name, const SpecNode& at) {
    if (position_of(names, to_lower(name)) < names.size()) at.fail("name \"" + name + "\" stands twice");
    names.emplace_back(name, index);
  };
  add(id, aliases);
  for (const SpecNode& alias : aliases.items()) add(alias.as_string(), alias);
}

NetworkKind read_network_kind(const SpecNode& spec) {
  if (spec.is_string()) {
    std::string name = to_lower(spec.as_string());
    std::replace(name.begin(), name.end(), '-', '_');
    for (std::size_t k = 0; k < kNetworkKindNames.size(); ++k)
      if (name == kNetworkKindNames[k]) return static_cast<NetworkKind>(k);
  }
  return static_cast<NetworkKind>(spec.as_choice(kNetworkKindNames, "network kind"));
}

}  // namespace foretrain
