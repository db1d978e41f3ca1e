#include "hwmodels/health.h"

#include <algorithm>

#include "base/check.h"

namespace foretrain {
namespace {

void set_share(std::vector<double>& shares, std::int64_t count, std::int64_t i, double share) {
  FORETRAIN_CHECK(i >= 0 && i < count);
  if (shares.empty()) shares.assign(static_cast<std::size_t>(count), 1);
  double& worst = shares[static_cast<std::size_t>(i)];
  worst = std::min(worst, share);
}

}  // namespace

ClusterHealth::ClusterHealth(const ClusterSpec& c) : per_node_(c.node.nics_per_node) {
  for (const Fault& fault : c.faults) {
    for (const std::int64_t host : fault.hosts) {
      if (fault.part == FaultyPart::leaf_up) set_share(leaves_, leaf_count(c), host, fault.share);
      if (fault.part == FaultyPart::spine) set_share(spines_, spine_count(c), host, fault.share);
      for (const std::int64_t unit : fault.units) {
        const std::int64_t gpu = host * c.node.gpus_per_node + unit;
        if (fault.part == FaultyPart::nic) {
          set_share(nics_, node_count(c) * c.node.nics_per_node, host * c.node.nics_per_node + unit, fault.share);
        } else if (gpu < c.gpus) {  // the last node may be part full
          set_share(fault.part == FaultyPart::gpu ? gpus_ : scale_up_, c.gpus, gpu, fault.share);
        }
      }
    }
  }
}

}  // namespace foretrain
