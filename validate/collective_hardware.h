/// The cluster that a published collective run describes in words: "InfiniBand 8x NDR400", "NVSwitch gen3 (NVLink4)".
#pragma once

#include <string>

#include "base/spec_node.h"
#include "hwmodels/catalogue.h"

namespace foretrain {

/// Reads {"gpu", "gpus_per_node", "nodes", "fabric", "intra"}. The node is the catalogue's for that GPU and network,
/// with what the texts say in its place: "<count>x<rate>" NICs, mesh, cube mesh, PCIe. SpecError for an unknown GPU.
ClusterSpec cluster_of_run(const SpecNode& hardware, const Catalogue& catalogue);

}  // namespace foretrain
