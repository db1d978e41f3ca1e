/// A cluster as it was read, for people and for programs.
#pragma once

#include <string>

#include "cli/subcommands.h"
#include "hwmodels/cluster.h"

namespace foretrain::cli {

/// What `foretrain list clusters --cluster C` prints: counts and rates, then each GPU of a node with what it is joined
/// to, and what groups of GPUs reach.
std::string cluster_text(const ClusterSpec& cluster);
/// The same as one JSON document.
std::string cluster_json(const ClusterSpec& cluster);

}  // namespace foretrain::cli
