#include "planner/self_contained.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/text_file.h"
#include "hwmodels/node_map_file.h"

namespace foretrain {
namespace {

namespace fs = std::filesystem;

/// The file that `value` names, where it does and there is one; a folder stands for its config.json.
fs::path file_named_by(const SpecNode& value) {
  if (!value.is_string()) return {};
  const std::string text = value.as_string();
  if (text.find('/') == std::string::npos && !text.ends_with(".json")) return {};
  fs::path path = fs::path(value.file()).parent_path() / text;
  std::error_code error;
  if (fs::is_directory(path, error)) path /= "config.json";
  return fs::is_regular_file(path, error) ? path : fs::path();
}

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// The value of `cluster.topology` with the files' text in place of their paths.
nlohmann::ordered_json topology_content(const SpecNode& topology, const fs::path& folder) {
  if (topology.is_array()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const SpecNode& item : topology.items()) list.push_back(topology_content(item, folder));
    return list;
  }
  if (!topology.is_string()) return nlohmann::ordered_json::parse(topology.dump());
  const std::string file = topology.as_string();
  return {{"file", file}, {"text", read_text_file((folder / file).string(), kLargestNodeMapBytes)}};
}

/// The files that a cluster names stand in it: a plan file holds without them. `folder` is where its paths begin.
SpecNode with_cluster_files(SpecNode job, const fs::path& folder) {
  const auto cluster = job.optional("cluster");
  if (!cluster || !cluster->is_object()) return job;
  if (const auto topology = cluster->optional("topology"))
    job = with_override(job, "cluster.topology", json_text(topology_content(*topology, folder)));
  const auto hosts = cluster->optional("hosts");
  if (!hosts || !hosts->is_object() || !hosts->has("hostfile")) return job;
  if (hosts->has("text")) return job;
  const std::string file = hosts->required("hostfile").as_string();
  const std::string text = read_text_file((folder / file).string(), kLargestNodeMapBytes);
  return with_override(job, "cluster.hosts", json_text({{"hostfile", file}, {"text", text}}));
}

}  // namespace

std::string self_contained(const SpecNode& job, const std::string& model_name) {
  SpecNode whole = job;
  fs::path cluster_folder = fs::path(job.file()).parent_path();
  for (const char* key : {"model", "cluster"}) {
    if (!whole.has(key)) continue;
    const fs::path path = file_named_by(whole.required(key));
    if (path.empty()) continue;
    const SpecNode content = SpecNode::read_file(path.string());
    // A model made from another file refers to it by a path that holds only where it stands.
    if (content.has("base")) continue;
    whole = with_override(whole, key, content.dump());
    if (std::string_view(key) == "cluster") cluster_folder = path.parent_path();
    const std::string name_key = content.has("model_type") ? "_name_or_path" : "name";
    if (std::string_view(key) == "model" && !content.has(name_key))
      whole = with_override(whole, "model." + name_key, in_quotes(model_name));
  }
  return with_cluster_files(whole, cluster_folder).dump();
}

}  // namespace foretrain
