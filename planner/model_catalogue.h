/// Models by name: planner/catalogue/models.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"

namespace foretrain {

struct NamedModel {
  std::string name;                  ///< "llama-3.1-70b"
  std::vector<std::string> aliases;  ///< "llama3-70b"
  std::int64_t parameters = 0;       ///< published total, which the tests hold our count against; 0 = none is known
  std::string source;
  SpecNode config;  ///< a Hugging Face config or a model of ours
};

/// Every model of the catalogue, in file order. SpecError when a name or alias stands twice.
std::vector<NamedModel> model_catalogue();

/// The model called `name` in any case, or nullptr.
const NamedModel* find_model(const std::vector<NamedModel>& models, std::string_view name);

}  // namespace foretrain
