/// What a group of a node's GPUs can reach over the node's links: its NICs, their sharing, and rings of NVLinks.
#pragma once

#include <cstdint>
#include <vector>

#include "hwmodels/node_map.h"

namespace foretrain {

/// Routes of the groups of `ranks` GPUs, `stride` apart, that tile the node: GPUs 0, s, 2s ... and those beside them.
///
/// Each GPU sends through its nearest NICs, as NCCL's rings and trees do: a NIC that two of the group's GPUs have is
/// fed by the nearer one, and a GPU whose NICs all lie beyond the processors' link leaves them to the others. The group
/// spreads what it sends over its NICs evenly; the first link to fill on the ways from GPU to NIC and at the NIC sets
/// its rate. `efficiency` is the network's payload share of the line rate.
GroupRoutes group_routes(const NodeMap& map, double efficiency, std::int64_t ranks, std::int64_t stride);

/// All of them: entry (ranks - 1) * gpus + stride - 1, for (ranks - 1) * stride < gpus.
std::vector<GroupRoutes> all_group_routes(const NodeMap& map, double efficiency);
/// That of `ranks` GPUs `stride` apart in a settled map; where no such group fits, of neighbours.
const GroupRoutes& routes_of(const NodeMap& map, std::int64_t ranks, std::int64_t stride);

/// Rings that `gpus` can close over NVLinks between them, each one link wide and in one direction: for two GPUs the
/// links of the pair, for more twice the most cycles through all of them that use no link twice. The search gives up,
/// with the best so far, after a fixed number of steps.
double nvlink_rings(const NodeMap& map, const std::vector<std::int64_t>& gpus);

}  // namespace foretrain
