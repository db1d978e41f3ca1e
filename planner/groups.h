/// Where the ranks of a plan's groups lie: in one node, or over several.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "hwmodels/cluster.h"
#include "hwmodels/collective_time.h"
#include "planner/plan.h"

namespace foretrain {

/// `ranks` GPUs whose global ranks differ by `stride`, on a cluster whose NVLink domains hold consecutive ranks. Where
/// groups do not tile the domains (3 of 8 GPUs), some of them straddle two; as all wait for the slowest, each is taken
/// to lie in pieces of the largest size that tiles both. All equal groups run their collective at the same time and
/// share the NICs of the nodes that they touch.
inline GroupLayout group_layout(std::int64_t ranks, std::int64_t stride, const ClusterSpec& cluster) {
  const std::int64_t domain = domain_in_use(cluster);
  const std::int64_t gpus = cluster.node.gpus_per_node;
  const std::int64_t span = ranks * stride;
  const bool one_domain = cluster.gpus <= domain;
  const std::int64_t per_node =
      one_domain ? ranks : std::clamp<std::int64_t>(std::gcd(span, domain) / stride, 1, ranks);
  const std::int64_t touched = ceil_div(per_node, gpus) * gpus;  // GPUs of the nodes that one group touches in a domain
  return {.ranks = ranks,
          .ranks_per_node = per_node,
          .groups_sharing_nics = std::max<std::int64_t>(1, touched / per_node),
          .node_stride = std::max<std::int64_t>(1, stride / domain),
          .gpu_stride = per_node > 1 ? stride : 1};
}

// Rank order tp-cp-ep-dp-pp: tensor ranks are neighbours, pipeline stages are farthest apart.
inline GroupLayout tensor_group(const Plan& p, const ClusterSpec& c) { return group_layout(p.tensor, 1, c); }
inline GroupLayout context_group(const Plan& p, const ClusterSpec& c) { return group_layout(p.context, p.tensor, c); }
/// Gradients are summed over data x context ranks.
inline GroupLayout data_group(const Plan& p, const ClusterSpec& c) {
  return group_layout(std::int64_t{p.data} * p.context, p.tensor, c);
}
/// A pair of neighbouring stages, the worst of the pipeline's pairs; every GPU of a node sends at the same time.
inline GroupLayout pipeline_pair(const Plan& p, const ClusterSpec& c) {
  const std::int64_t stage = std::int64_t{p.tensor} * p.context * p.data;
  const std::int64_t domain = domain_in_use(c);
  const bool inside = stage * p.pipeline <= domain;
  return group_layout(2, inside ? stage : std::max(stage, domain), c);
}

}  // namespace foretrain
