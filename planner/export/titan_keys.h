/// A plan in the keys of torchtitan's configuration, which recipes and TOML files share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "planner/problem.h"

namespace foretrain {

/// Keys with values as Python and TOML both write them, except for truth: "true" and "false".
using TitanKeys = std::vector<std::pair<std::string, std::string>>;

/// Degrees, sharding, schedule and placement: the section `parallelism` of both.
TitanKeys titan_parallelism(const Problem& problem, const Plan& plan);

/// Micro-batches that one pass of the pipeline takes: all of a step's; without stages each passes by itself.
std::int64_t titan_pipeline_micro_batches(const Problem& problem, const Plan& plan);

/// The flavour's module and name; for shapes that torchtitan does not have, "llama3" (or "qwen3") and a name to
/// register, with a comment line that says the shapes.
struct TitanModel {
  std::string module, flavor, comment;
};
TitanModel titan_model(const ModelSpec& model);

}  // namespace foretrain
