#include "planner/groups.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "hwmodels/catalogue.h"

namespace foretrain {
namespace {

const Catalogue& catalogue() {
  static const Catalogue loaded = Catalogue::load();
  return loaded;
}

ClusterSpec nodes(const char* name, std::int64_t count) {
  ClusterSpec c = catalogue().node(name, "test");
  c.gpus = count * c.node.gpus_per_node;
  return c;
}

Plan plan_of(std::int32_t tensor, std::int32_t data, std::int32_t pipeline = 1) {
  Plan p;
  p.tensor = tensor;
  p.data = data;
  p.pipeline = pipeline;
  return p;
}

/// GB/s that leave one node for this group while its transfer runs, all equal groups running too.
double node_rate(CollectiveOp op, const GroupLayout& g, const ClusterSpec& c) {
  const CollectiveTime t = collective_time(op, 4 * GiB, g, c, {NcclAlgorithm::ring, NcclProtocol::simple});
  const double ranks_sending = op == CollectiveOp::send_recv ? 1 : static_cast<double>(g.ranks_per_node);
  return ranks_sending * t.network_bytes_per_gpu / (t.time - t.latency) / GB_per_s;
}

}  // namespace

TEST_CASE("data-parallel groups share a node's NICs by tensor parallelism: hand-computed rates") {
  // DGX H100: 8 NICs of 50 GB/s, 94 % of which are payload: 47 GB/s a NIC, 376 a node.
  const ClusterSpec c = nodes("dgx-h100", 16);
  const auto rate = [&](std::int32_t tensor) {
    return node_rate(CollectiveOp::all_reduce, data_group(plan_of(tensor, 128 / tensor), c), c);
  };
  // TP 8: 8 groups of one rank a node, each on its own rail. TP 4: 4 groups, 2 NICs each. TP 1: one ring on all NICs,
  // as far as NVLink keeps up: 0.85 of 450 GB/s bring 382.5 GB/s to the 8 NICs' 376.
  CHECK(data_group(plan_of(8, 16), c).groups_sharing_nics == 8);
  CHECK(rate(8) == doctest::Approx(47).epsilon(1e-3));
  CHECK(rate(4) == doctest::Approx(94).epsilon(1e-3));
  CHECK(rate(2) == doctest::Approx(188).epsilon(1e-3));
  CHECK(rate(1) == doctest::Approx(376).epsilon(0.02));
}

TEST_CASE("fewer NICs than GPUs: eight rings share four") {
  // p4d: 4 NICs of 12.5 GB/s, 84 % payload: 42 GB/s a node, 5.25 for each of 8 groups.
  const ClusterSpec c = nodes("aws-p4d.24xlarge", 4);
  CHECK(node_rate(CollectiveOp::all_reduce, data_group(plan_of(8, 4), c), c) == doctest::Approx(5.25).epsilon(1e-3));
  CHECK(node_rate(CollectiveOp::send_recv, pipeline_pair(plan_of(8, 1, 4), c), c) ==
        doctest::Approx(5.25).epsilon(1e-3));
}

TEST_CASE("tensor parallelism over two nodes uses all their NICs") {
  const ClusterSpec c = nodes("dgx-h100", 2);
  const GroupLayout g = tensor_group(plan_of(16, 1), c);
  CHECK(g.ranks_per_node == 8);
  CHECK(g.groups_sharing_nics == 1);
}

TEST_CASE("an NVL72 job on a power of two GPUs has equal parts of its racks") {
  // 512 GPUs need 8 racks of 72; 64 in each. Ranks 0, 2, 4, ... of TP 2: 32 in each rack, 2 groups.
  const ClusterSpec c = nodes("gb200-nvl72-tray", 128);
  CHECK(domain_in_use(c) == 64);
  CHECK(domain_in_use(nodes("gb200-nvl72-tray", 18)) == 72);
  CHECK(domain_in_use(nodes("gb200-nvl72-tray", 36)) == 72);
  CHECK(domain_in_use(nodes("gb200-nvl72-tray", 40)) == 40);  // 160 GPUs: not 3 equal parts, but 4
  CHECK(domain_in_use(nodes("dgx-h100", 40)) == 8);
  const GroupLayout g = data_group(plan_of(2, 256), c);
  CHECK(g.ranks == 256);
  CHECK(g.ranks_per_node == 32);
}

TEST_CASE("an oversubscribed spine slows what crosses it, by how much of a leaf's bytes leave it") {
  ClusterSpec c = nodes("dgx-h100", 32);
  c.network.nodes_per_leaf = 8;
  c.network.oversubscription = 4;
  const auto slower = [&](CollectiveOp op, const GroupLayout& g) {
    ClusterSpec full = c;
    full.network.oversubscription = 1;
    return node_rate(op, g, full) / node_rate(op, g, c);
  };
  // One leaf holds 8 nodes; its up-links carry what 2 of its NICs a rail send.
  // TP 8, DP 32 over all nodes: each rail's ring leaves a leaf once. 1 of 8 NICs: no slower.
  CHECK(slower(CollectiveOp::all_reduce, data_group(plan_of(8, 32), c)) == doctest::Approx(1));
  // PP 4 of 8 nodes each: DP inside a leaf, but every node of a stage sends to the next leaf: 8 NICs into 2.
  CHECK(slower(CollectiveOp::all_reduce, data_group(plan_of(8, 8, 4), c)) == doctest::Approx(1));
  CHECK(slower(CollectiveOp::send_recv, pipeline_pair(plan_of(8, 8, 4), c)) == doctest::Approx(4));
  // PP 16 of 2 nodes: of 8 nodes the last 2 send to the next leaf. As many as the up-links carry.
  CHECK(slower(CollectiveOp::send_recv, pipeline_pair(plan_of(8, 2, 16), c)) == doctest::Approx(1));
  // Replicas 4 nodes apart (HSDP with shards of 32 GPUs): 4 rings interleaved leave a leaf of 8: 4 NICs into 2.
  CHECK(slower(CollectiveOp::all_reduce, group_layout(8, 32, c)) == doctest::Approx(2));
  // All-to-all of 32 nodes: 24 of 31 other nodes are under other leaves. 8 x 24/31 NICs into 2.
  const GroupLayout everyone = group_layout(256, 1, c);
  CHECK(slower(CollectiveOp::all_to_all, everyone) == doctest::Approx(4.0 * 24 / 31));
  // Within one leaf nothing crosses.
  CHECK(slower(CollectiveOp::all_to_all, group_layout(64, 1, c)) == doctest::Approx(1));
}

}  // namespace foretrain
