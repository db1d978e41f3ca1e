/// TOML, YAML and recipes as one tree: what stands in them as a JSON document, errors with the file's line.
#pragma once

#include <string>
#include <string_view>

#include "base/spec_node.h"

namespace foretrain {

/// SpecError at "file:line" for what is no TOML.
SpecNode read_toml(std::string_view text, const std::string& file);
/// SpecError at "file:line" for what is no YAML, holds several documents' worth of aliases, or is nested too deep.
SpecNode read_yaml(std::string_view text, const std::string& file);
/// The keyword arguments of a Python function's nested calls, by the argument that holds the call: `training=Config(`
/// and `steps=100,` is {"training": {"steps": 100}}. Understands recipes laid out as `foretrain export` writes them.
/// SpecError at "file:line" for lines that are cut off.
SpecNode read_recipe(std::string_view text, const std::string& file);

}  // namespace foretrain
