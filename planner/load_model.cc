#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/model_catalogue.h"
#include "planner/own_model.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

namespace fs = std::filesystem;

/// Files and names that refer to the one being read, outermost first.
using Chain = std::vector<std::string>;
ModelSpec load(const SpecNode& value, const fs::path& folder, Chain chain);

/// Why planning stops at a model that can be counted: experts and latent attention are not laid over GPUs yet.
void note_what_cannot_be_planned(ModelSpec& m) {
  if (!m.not_plannable.empty()) return;
  if (m.mla) m.not_plannable = "multi-head latent attention is not planned yet";
  if (m.moe) m.not_plannable = "mixture-of-experts layers are not planned yet";
  if (m.mla && m.moe) m.not_plannable = "mixture-of-experts layers and multi-head latent attention are not planned yet";
}

ModelSpec load_object(const SpecNode& node, const fs::path& folder, const Chain& chain) {
  ModelSpec model;
  if (node.has("model_type")) {
    model = import_hf(node);
  } else if (const auto base = node.optional("base")) {
    const ModelSpec from = load(*base, folder, chain);
    model = read_own_model(node, &from);
  } else if (node.has("layers") || !(node.has("num_hidden_layers") || node.has("n_layer") || node.has("hidden_size"))) {
    if (node.has("model")) node.fail("this is a job, not a model: it has a key \"model\"");
    model = read_own_model(node, nullptr);
  } else {
    node.fail("key \"model_type\" is missing: it says which Hugging Face family this config.json is of");
  }
  note_what_cannot_be_planned(model);
  return model;
}

ModelSpec load_named(const SpecNode& value, const NamedModel& named, Chain chain) {
  if (std::find(chain.begin(), chain.end(), named.name) != chain.end()) {
    value.fail(fmt::format("model {} refers to itself", in_quotes(named.name)));
  }
  chain.push_back(named.name);
  ModelSpec model = load_object(named.config, ".", chain);
  if (model.name.empty()) model.name = named.name;
  return model;
}

/// A config.json, or a folder that holds one.
ModelSpec load_file(const SpecNode& value, fs::path path, Chain chain) {
  std::error_code error;
  if (fs::is_directory(path, error)) path /= "config.json";
  if (!fs::exists(path, error)) {
    value.fail(fmt::format("there is no file {}, nor a model of that name", in_quotes(path.string())));
  }
  const std::string key = fs::weakly_canonical(path, error).string();
  if (std::find(chain.begin(), chain.end(), key) != chain.end()) {
    value.fail(fmt::format("file {} refers to itself", in_quotes(path.string())));
  }
  chain.push_back(key);
  const SpecNode file = SpecNode::read_file(path.string());
  if (!file.is_object()) file.fail_expected("an object: a Hugging Face config.json or a model");
  ModelSpec model = load_object(file, path.parent_path(), chain);
  if (model.name.empty()) {
    const fs::path named_after = path.filename() == "config.json" ? fs::absolute(path).parent_path() : path;
    model.name = named_after.stem().string();
  }
  return model;
}

ModelSpec load(const SpecNode& value, const fs::path& folder, Chain chain) {
  if (value.is_object()) {
    ModelSpec model = load_object(value, folder, chain);
    if (model.name.empty()) model.name = "inline model";
    return model;
  }
  if (!value.is_string()) value.fail_expected("a model's name, a path to its config.json, or an object");
  const std::string text = value.as_string();
  const std::vector<NamedModel> models = model_catalogue();
  if (const NamedModel* named = find_model(models, text)) return load_named(value, *named, std::move(chain));
  const bool is_path = text.find('/') != std::string::npos || text.ends_with(".json");
  if (is_path) return load_file(value, folder / text, std::move(chain));
  std::vector<std::string> names;
  for (const NamedModel& model : models) {
    names.push_back(model.name);
    names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  }
  const std::string near = likely_name(text, names);
  value.fail(fmt::format("unknown model {}{}", in_quotes(text),
                         near.empty() ? "; \"foretrain list models\" shows those known"
                                      : fmt::format("; did you mean {}?", in_quotes(near))));
}

}  // namespace

ModelSpec load_model(const SpecNode& value, const std::string& base_folder) { return load(value, base_folder, {}); }

}  // namespace foretrain
