/// The cluster as a graph: GPUs, switches, NICs and the links between them, and the way from one GPU to another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "hwmodels/cluster.h"
#include "sim/task_graph.h"

namespace foretrain::sim {

enum class VertexKind : std::uint8_t { gpu, nvswitch, pcie_switch, socket, nic, leaf, spine };

/// `number` counts within the kind, over the whole cluster: GPU 9 is the second of node 1 where nodes have 8.
struct TopologyVertex {
  VertexKind kind = VertexKind::gpu;
  std::int32_t number = 0;
};

/// One direction of a cable; the other one is a link of its own.
struct TopologyLink {
  std::int32_t from = 0, to = 0;  ///< indices into vertices()
  BytesPerSecond capacity;
};

struct RouteOptions {
  /// Between rails: first over NVLink to the GPU of the sender's node that is on the receiver's rail (NCCL's PXN),
  /// where there is NVLink. Otherwise through a spine.
  bool pxn = true;
  /// Spreads what one GPU sends over its NICs and over the spines: flow i of a pair uses channel i.
  std::int32_t channel = 0;
};

/// Built from a ClusterSpec; const afterwards.
///
/// Inside a node: the NVLink fabric and the PCIe tree of its topology file (NodeSpec::map), or else a tree of two
/// sockets whose switches hold GPUs and NICs in equal parts. Between nodes: leaves and spines. Rail-optimised, NIC i of
/// the `nodes_per_leaf` nodes of a group is on leaf i of the group; otherwise all NICs of these nodes are on one leaf.
/// A leaf has one up-link to each spine, which together carry its down-links' capacity divided by the oversubscription.
/// Every spine reaches every leaf. Shapes, capacities and their sources: docs/models/network.md.
class Topology {
 public:
  /// Slow parts (ClusterSpec::faults) have less capacity. Throws std::invalid_argument for a cube mesh of more than 8
  /// GPUs.
  explicit Topology(const ClusterSpec& cluster);
  ~Topology();
  Topology(Topology&&) noexcept;
  Topology& operator=(Topology&&) noexcept;

  [[nodiscard]] const std::vector<TopologyVertex>& vertices() const;
  /// Index is the LinkId in routes.
  [[nodiscard]] const std::vector<TopologyLink>& links() const;
  [[nodiscard]] std::int64_t count(VertexKind kind) const;
  /// "gpu 3", "leaf 0".
  [[nodiscard]] std::string name(std::int32_t vertex) const;
  /// Every vertex can be reached from every other.
  [[nodiscard]] bool connected() const;

  /// The NIC, counted in its node, that GPU `gpu` uses for `channel`: those nearest to it that work take turns.
  [[nodiscard]] std::int64_t nic_of(std::int64_t gpu, std::int32_t channel) const;

  /// The links from GPU `from` to GPU `to`, in order; none from a GPU to itself. Fewest hops among the ways that
  /// hardware and NCCL take: NVLink where both share it (over one GPU between in a cube mesh), else PCIe inside a node,
  /// else NIC to NIC. Equal ways are told apart by a hash of (from, to, channel), as ECMP does. Dead NICs and spines
  /// are gone round; SpecError names what cannot reach what where there is no way round.
  [[nodiscard]] std::vector<LinkId> route(std::int64_t from, std::int64_t to, const RouteOptions& options = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretrain::sim
