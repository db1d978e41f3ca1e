/// Clusters named on the command line.
#pragma once

#include <cstdint>
#include <string>

#include "hwmodels/catalogue.h"

namespace foretrain::cli {

/// A cluster or node by name, a cluster's file (.json), JSON, or a topology file of its node. What names one node grows
/// to as many as hold `ranks`. SpecError where they do not fit.
ClusterSpec read_cluster(const Catalogue& catalogue, const std::string& text, std::int64_t ranks);

}  // namespace foretrain::cli
