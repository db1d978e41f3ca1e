/// What a cluster takes from files: its node from a topology, its nodes from a list of hosts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/cluster.h"
#include "hwmodels/node_map.h"

namespace foretrain {

/// The value of `topology`: a path, a list of paths (one a host; all must describe the same node), or
/// {"file": NAME, "text": TEXT} with the file's content. Paths are found from the folder of the value's own file.
NodeMap read_topology(const SpecNode& topology);

/// The catalogue's name of the GPUs that the file shows, "" where it does not say or they are not in the catalogue.
std::string_view gpu_named_by(const NodeMap& map);

/// Puts into `cluster` what the map tells of its node: NVLinks and fabric, NICs and their rate, processor, NVLink
/// domain. `cluster.node` already has the map's number of GPUs; what the map does not know stays as it is there.
/// SpecError at `topology` where the two contradict each other.
void apply_node_map(const SpecNode& topology, const NodeMap& map, ClusterSpec& cluster);

/// Completes the map with the cluster's rates and gives it to `cluster.node`. `network` is the cluster's key, already
/// read: a rate that it names stands above the file's. A node without NICs in a cluster of several is refused, unless
/// `network` names them: then they hang on its sockets in turn.
void settle_node_map(const SpecNode& topology, NodeMap map, const std::optional<SpecNode>& network,
                     ClusterSpec& cluster);

/// The value of `hosts`: a Slurm list, a list of names, or {"hostfile": PATH}, where "text" may hold its content. Hosts
/// with as many GPUs as a node has, or fewer on the last one; sets `cluster.gpus` and `cluster.hosts`.
void read_hosts(const SpecNode& hosts, ClusterSpec& cluster);

}  // namespace foretrain
