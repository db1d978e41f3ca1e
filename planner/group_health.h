/// What is left of the rates of a cluster's groups of ranks when some of its parts are slow or dead.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hwmodels/collective_time.h"
#include "hwmodels/health.h"
#include "sim/topology.h"

namespace foretrain {

/// GPUs `first`, `first + stride`, ...: a ring, or (`one_way`) a message from the first to the second of two.
struct RankGroup {
  std::int64_t first = 0, stride = 1, ranks = 1;
  bool one_way = false;
};

/// Rates of groups on a faulty cluster over those on the same cluster in full health. Built once; const afterwards.
///
/// Every rank of a group sends as much to the next, node by node, each through its own NIC: the routes of the cluster's
/// graph say which ports and up-links that takes. All groups that are given together run at the same time. A group is
/// as slow as the link of its way that takes longest for what it carries:
///
///     share = max(1, healthy load / capacity) / max(1, load / capacity),  loads in line rates of a GPU's share of NICs
///
/// A channel whose NIC is dead in one node is left out by the whole group, as NCCL takes the fewest channels that any
/// node found; a group without another channel goes through the nearest NIC that works. Derivation and limits:
/// docs/models/faults.md.
class GroupHealth {
 public:
  /// `with_ports`: the ports of a healthy network are wanted, too.
  explicit GroupHealth(const ClusterSpec& cluster, bool with_ports = false);

  /// [group]. Throws SpecError naming what cannot reach what.
  [[nodiscard]] std::vector<LinkShares> shares(const std::vector<RankGroup>& groups) const;
  [[nodiscard]] const ClusterHealth& health() const { return health_; }

  /// What traffic between nodes goes through, by number: "nic 3 to leaf 3", "up-links of leaf 0"; one direction, as
  /// fast as its faults leave it. None on one node.
  [[nodiscard]] std::vector<sim::Link> ports() const;
  /// What a group takes of its ports for each byte that one of its ranks sends; empty inside a domain.
  [[nodiscard]] std::vector<sim::LinkUse> uses(const RankGroup& group) const;

 private:
  struct Send {
    std::int64_t from, to;
    double amount;  ///< in shares of a GPU
  };
  [[nodiscard]] std::vector<Send> sends_of(const RankGroup& group, bool healthy) const;
  [[nodiscard]] std::vector<std::int32_t> ports_of(const Send& send, std::int32_t channel, bool healthy) const;
  [[nodiscard]] std::vector<double> slowness(const std::vector<RankGroup>& groups, bool healthy) const;
  [[nodiscard]] double scale_up_share(const RankGroup& group) const;
  [[nodiscard]] bool is_cut(std::int64_t gpu) const;
  void find_nodes_near_faults();

  ClusterSpec cluster_;
  ClusterHealth health_;
  std::int64_t domain_;                              ///< GPUs that NVLink joins
  BytesPerSecond gpu_rate_;                          ///< of a GPU's share of its node's NICs
  std::int32_t nics_of_gpu_ = 1;                     ///< that one GPU takes turns with
  std::unique_ptr<sim::Topology> healthy_, faulty_;  ///< only where the network is faulty
  std::vector<std::int32_t> port_of_link_;           ///< [link] what it loads, or -1
  std::vector<double> healthy_capacity_, capacity_;  ///< [port] in shares of a GPU
  std::vector<char> near_;  ///< [node] its messages may meet a faulty port; those between other nodes do not
};

}  // namespace foretrain
