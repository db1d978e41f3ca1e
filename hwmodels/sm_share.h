/// What a running collective takes from the kernels beside it.
#pragma once

#include <cstdint>

#include "hwmodels/cluster.h"
#include "hwmodels/collective_time.h"

namespace foretrain {

/// Channels of a group's NCCL communicator for rings and trees: those of the search twice, on DGX 24 of A100 and H100
/// (12 of V100, 32 of B200), over nodes two for each NIC that the group can use, four from Hopper on where that is
/// fewer than 16. At most 32 before NCCL 2.25, 64 since. Source: NVIDIA/nccl 2.28.9 src/graph/connect.cc, search.cc.
std::int64_t nccl_channels(const GroupLayout& group, const ClusterSpec& cluster);

/// Thread blocks, one an SM, that kernels beside a collective do without: the communicator's channels; NVLS has its own
/// (16 on Hopper, 24 on Blackwell inside a node and 32 over nodes; src/transport/nvls.cc); send and receive have 2 for
/// each NVLink to the peer (32 at most), 2 over PCIe and the network (src/graph/paths.cc). Large messages use all of
/// them. Over nodes it is the channels that groups of whole nodes have, also for one GPU a node with 2 or 4: a GEMM
/// that fills every SM waits a wave for the few that are taken. Assumed; no measurement of such pairs yet.
std::int64_t nccl_blocks(CollectiveOp op, NcclAlgorithm algorithm, const GroupLayout& group,
                         const ClusterSpec& cluster);

/// Share of a GPU's SMs that `blocks` thread blocks hold, at most half. Kernels that run at the same time have the
/// rest.
double sm_share(std::int64_t blocks, const GpuSpec& gpu);

}  // namespace foretrain
