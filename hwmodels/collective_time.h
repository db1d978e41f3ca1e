/// How long a collective takes: NCCL's algorithms and protocols on a group of GPUs laid over nodes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"
#include "hwmodels/cluster.h"

namespace foretrain {

/// How a group of ranks lies over the cluster. All nodes hold equally many of its ranks.
struct GroupLayout {
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 1;  ///< inside one NVLink domain
  /// Equal groups that run the same collective at the same time over one node's NICs and share them
  /// (8 data-parallel rings of TP 8: 8). 1 when this group has the node's NICs for itself.
  std::int64_t groups_sharing_nics = 1;
  /// From one node of the group to the next, in nodes (or NVLink domains): the nodes between hold other groups, equal
  /// to this one, that run at the same time.
  std::int64_t node_stride = 1;
  /// From one GPU of the group to its next in the node, in GPUs: tells which of them it has where they are not alike.
  std::int64_t gpu_stride = 1;
};

/// time = latency + transfer, and alone on its links transfer = max(scale_up_bytes_per_gpu / what NCCL reaches on them,
/// network_bytes_per_gpu / what it reaches on the NICs). A fluid network gives the transfer those bytes as weights:
/// alone it lasts time - latency; sharing a link or NIC stretches the transfer, not the latency.
struct CollectiveTime {
  Seconds time;
  NcclAlgorithm algorithm = NcclAlgorithm::none;
  NcclProtocol protocol = NcclProtocol::none;
  Seconds latency;               ///< launch, steps and filling of the pipeline: what does not shrink with bandwidth
  Bytes network_bytes_per_gpu;   ///< one direction, through this GPU's share of the NICs
  Bytes scale_up_bytes_per_gpu;  ///< one direction, over NVLink (or PCIe)
  Seconds network_time, scale_up_time;  ///< the transfer at each of the two alone; it lasts as long as the longer
  double leaf_crossing = 0;  ///< part of the network bytes that leave their leaf, where all nodes under it send alike
};

/// What a group has of its healthy rates, 0 < share <= 1.
struct LinkShares {
  double scale_up = 1, network = 1;
  friend bool operator==(const LinkShares&, const LinkShares&) = default;
};
/// `time` over slower links: NCCL's choice and the latency stay, each transfer takes as much longer as its links are
/// slower.
CollectiveTime slowed(CollectiveTime time, const LinkShares& shares);

/// Time until every rank of the group has its result. `size` as nccl-tests counts it: all_reduce and broadcast one
/// rank's buffer; all_gather the received total; reduce_scatter and all_to_all the sent total of one rank; send_recv
/// the message. One rank, or no bytes, takes no time. Never shorter for a larger size.
///
/// NCCL's tuner chooses algorithm and protocol (nccl_tuner.h); the time is that of the chosen one (collective_wall.h).
/// Derivation, fit and limits: docs/models/collective.md. Source of structure: NVIDIA/nccl 2.28.9 src/graph/tuning.cc
/// (facts only).
CollectiveTime collective_time(CollectiveOp op, Bytes size, const GroupLayout& group, const ClusterSpec& cluster,
                               const CollectiveChoice& choice = {});

/// busbw / algbw as nccl-tests defines it: all_reduce 2(n-1)/n; all_gather, reduce_scatter, all_to_all (n-1)/n; else 1.
double bus_factor(CollectiveOp op, std::int64_t ranks);

/// The textbook's estimate, without latency or losses: what each rank must send, bus_factor * size, over `bandwidth`.
/// Source: NVIDIA/nccl-tests doc/PERFORMANCE.md.
Seconds wire_time(CollectiveOp op, Bytes size, std::int64_t ranks, BytesPerSecond bandwidth);

}  // namespace foretrain
