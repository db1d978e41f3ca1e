#include "planner/self_contained.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/text.h"

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

}  // namespace

std::string self_contained(const SpecNode& job, const std::string& model_name) {
  SpecNode whole = job;
  for (const char* key : {"model", "cluster"}) {
    if (!whole.has(key)) continue;
    const fs::path path = file_named_by(whole.required(key));
    if (path.empty()) continue;
    const SpecNode content = SpecNode::read_file(path.string());
    // A model made from another file refers to it by a path that holds only where it stands.
    if (content.has("base")) continue;
    whole = with_override(whole, key, content.dump());
    const std::string name_key = content.has("model_type") ? "_name_or_path" : "name";
    if (std::string_view(key) == "model" && !content.has(name_key))
      whole = with_override(whole, "model." + name_key, in_quotes(model_name));
  }
  return whole.dump();
}

}  // namespace foretrain
