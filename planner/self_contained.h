/// A job that can be read anywhere: what its files hold stands in it.
#pragma once

#include <string>

#include "base/spec_node.h"

namespace foretrain {

/// `job` as JSON text in which files that it names (model, cluster) are replaced by what they hold, so that a plan file
/// can be read anywhere. A model that its file does not name is called `model_name`.
std::string self_contained(const SpecNode& job, const std::string& model_name);

}  // namespace foretrain
