#include "sim/topology.h"

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "hwmodels/catalogue.h"
#include "sim/simulator.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

/// Nodes of 8 H100-like GPUs with round numbers: NVLink 450 GB/s, PCIe 63 GB/s raw (48 counted on), NICs 50 GB/s.
ClusterSpec cluster_of(std::int64_t gpus) {
  ClusterSpec c;
  c.gpu.pcie_bandwidth = 63 * GB_per_s;
  c.gpu.pcie_generation = 5;
  c.node.gpus_per_node = 8;
  c.node.fabric = IntraNodeFabric::nvswitch;
  c.node.scale_up_bandwidth = 450 * GB_per_s;
  c.node.nics_per_node = 8;
  c.node.nic_bandwidth = 400 * Gbit_per_s;
  c.network.nodes_per_leaf = 32;
  c.gpus = gpus;
  c.nvlink_domain = 8;
  return c;
}

ClusterSpec pcie_box(IntraNodeFabric fabric) {
  ClusterSpec c = cluster_of(8);
  c.node.fabric = fabric;
  c.node.nics_per_node = 2;
  return c;
}

/// "gpu 0, nvswitch 0, gpu 1". Checks that links join up.
std::string way(const Topology& t, std::int64_t from, std::int64_t to, const RouteOptions& options = {}) {
  std::string text = "gpu " + std::to_string(from);
  std::string here = text;
  for (const LinkId id : t.route(from, to, options)) {
    const TopologyLink& link = t.links()[static_cast<std::size_t>(id)];
    CHECK(t.name(link.from) == here);
    here = t.name(link.to);
    text += ", " + here;
  }
  CHECK(here == "gpu " + std::to_string(to));
  return text;
}

double gigabytes_per_second(const Topology& t, LinkId id) {
  return t.links()[static_cast<std::size_t>(id)].capacity / GB_per_s;
}

}  // namespace

TEST_CASE("inside a node with NVSwitches a way is two NVLinks") {
  const Topology t(cluster_of(8));
  CHECK(way(t, 0, 5) == "gpu 0, nvswitch 0, gpu 5");
  for (const LinkId id : t.route(0, 5)) CHECK(gigabytes_per_second(t, id) == doctest::Approx(450));
  CHECK(t.route(3, 3).empty());
  CHECK(t.count(VertexKind::leaf) == 0);
}

TEST_CASE("equal ranks of two nodes meet on the leaf of their rail") {
  const Topology t(cluster_of(16));
  CHECK(way(t, 2, 10) == "gpu 2, pcie switch 2, nic 2, leaf 2, nic 10, pcie switch 10, gpu 10");
  const std::vector<LinkId> route = t.route(2, 10);
  // PCIe Gen5 x16: 63 GB/s raw, of which 12/15.75 is counted on: 48. A 400 Gb/s NIC: 50.
  const std::vector<double> expected = {48, 48, 50, 50, 48, 48};
  for (std::size_t i = 0; i < route.size(); ++i)
    CHECK(gigabytes_per_second(t, route[i]) == doctest::Approx(expected[i]));
}

TEST_CASE("across rails the way goes over NVLink to the rail's GPU first, or through a spine") {
  const Topology t(cluster_of(16));
  CHECK(way(t, 0, 9) == "gpu 0, nvswitch 0, gpu 1, pcie switch 1, nic 1, leaf 1, nic 9, pcie switch 9, gpu 9");
  const std::string by_spine = way(t, 0, 9, {.pxn = false});
  CHECK(by_spine.find("gpu 0, pcie switch 0, nic 0, leaf 0, spine ") == 0);
  CHECK(by_spine.find(", leaf 1, nic 9, pcie switch 9, gpu 9") != std::string::npos);
}

TEST_CASE("groups of nodes meet at a spine, and channels spread over the spines") {
  // 64 nodes, 32 a leaf: leaf 0-7 and 8-15. 32 NICs a leaf, not oversubscribed: 32 spines.
  const Topology t(cluster_of(512));
  CHECK(t.count(VertexKind::leaf) == 16);
  CHECK(t.count(VertexKind::spine) == 32);
  std::set<std::string> ways;
  for (std::int32_t channel = 0; channel < 256; ++channel) ways.insert(way(t, 3, 259, {.channel = channel}));
  for (const std::string& w : ways) {
    CHECK(w.find("gpu 3, pcie switch 3, nic 3, leaf 3, spine ") == 0);
    CHECK(w.find(", leaf 11, nic 259, pcie switch 259, gpu 259") != std::string::npos);
  }
  CHECK(ways.size() == 32);  // 256 draws of 32: a spine is missed with probability 32 (31/32)^256 = 0.9 %
  CHECK(way(t, 3, 259) == way(t, 3, 259));
}

TEST_CASE("a leaf's up-links carry its down-links divided by the oversubscription") {
  for (const double oversubscription : {1.0, 2.0, 3.0}) {
    for (const bool rails : {true, false}) {
      ClusterSpec c = cluster_of(512);
      c.network.oversubscription = oversubscription;
      c.node.rail_optimised = rails;
      const Topology t(c);
      double down = 0, up = 0;
      for (const TopologyLink& link : t.links()) {
        if (t.name(link.from) != "leaf 0") continue;
        const bool to_nic = t.vertices()[static_cast<std::size_t>(link.to)].kind == VertexKind::nic;
        (to_nic ? down : up) += link.capacity / GB_per_s;
      }
      CHECK(down == doctest::Approx(rails ? 32 * 50 : 32 * 8 * 50));
      CHECK(up == doctest::Approx(down / oversubscription));
    }
  }
}

TEST_CASE("without rails all NICs of a group are on one leaf") {
  ClusterSpec c = cluster_of(16);
  c.node.rail_optimised = false;
  c.network.efficiency = 0.9;
  const Topology t(c);
  CHECK(t.count(VertexKind::leaf) == 1);
  CHECK(t.count(VertexKind::spine) == 0);
  CHECK(way(t, 0, 9) == "gpu 0, pcie switch 0, nic 0, leaf 0, nic 9, pcie switch 9, gpu 9");
  CHECK(gigabytes_per_second(t, t.route(0, 9)[2]) == doctest::Approx(45));
}

TEST_CASE("the hybrid cube mesh: one or two links between neighbours, one GPU between the others") {
  ClusterSpec c = cluster_of(16);
  c.node.fabric = IntraNodeFabric::nvlink_cube_mesh;
  c.node.scale_up_bandwidth = 150 * GB_per_s;  // six links of 25
  c.node.nics_per_node = 4;
  c.node.rail_optimised = false;
  const Topology t(c);
  CHECK(gigabytes_per_second(t, t.route(0, 1).at(0)) == doctest::Approx(25));
  CHECK(gigabytes_per_second(t, t.route(0, 3).at(0)) == doctest::Approx(50));
  CHECK(t.route(0, 4).size() == 1);
  // GPU 0 has links to 1, 2, 3 and 4; GPU 5 to 1, 4, 6 and 7: over 1 or 4.
  const std::string far = way(t, 0, 5);
  const bool over_a_neighbour = far == "gpu 0, gpu 1, gpu 5" || far == "gpu 0, gpu 4, gpu 5";
  CHECK(over_a_neighbour);
  // Every GPU has six links.
  for (std::int64_t g = 0; g < 16; ++g) {
    double sum = 0;
    for (const TopologyLink& link : t.links())
      if (link.from == g && t.vertices()[static_cast<std::size_t>(link.to)].kind == VertexKind::gpu)
        sum += link.capacity / GB_per_s;
    CHECK(sum == doctest::Approx(150));
  }
  // Two GPUs share a PCIe switch and its NIC.
  CHECK(way(t, 0, 8) == "gpu 0, pcie switch 0, nic 0, leaf 0, nic 4, pcie switch 4, gpu 8");
  CHECK(way(t, 1, 9) == "gpu 1, pcie switch 0, nic 0, leaf 0, nic 4, pcie switch 4, gpu 9");

  c.node.gpus_per_node = 16;
  CHECK_THROWS_AS(Topology{c}, std::invalid_argument);
}

TEST_CASE("a full mesh gives each pair its share of a GPU's links") {
  ClusterSpec c = cluster_of(8);
  c.node.fabric = IntraNodeFabric::nvlink_mesh;
  c.node.scale_up_bandwidth = 448 * GB_per_s;  // seven peers, 64 each
  const Topology t(c);
  CHECK(way(t, 1, 6) == "gpu 1, gpu 6");
  CHECK(gigabytes_per_second(t, t.route(1, 6).at(0)) == doctest::Approx(64));
}

TEST_CASE("a PCIe box: below one switch, across the sockets, and through host memory without peer-to-peer") {
  const Topology p2p(pcie_box(IntraNodeFabric::pcie));
  // Eight GPUs and two NICs: a switch with four GPUs and one NIC on each socket.
  CHECK(way(p2p, 0, 3) == "gpu 0, pcie switch 0, gpu 3");
  CHECK(way(p2p, 0, 4) == "gpu 0, pcie switch 0, socket 0, socket 1, pcie switch 1, gpu 4");
  // Two Sapphire Rapids: 22 GB/s between them.
  CHECK(gigabytes_per_second(p2p, p2p.route(0, 4)[2]) == doctest::Approx(22));
  const Topology bounced(pcie_box(IntraNodeFabric::pcie_no_p2p));
  CHECK(way(bounced, 0, 3) == "gpu 0, pcie switch 0, socket 0, pcie switch 0, gpu 3");
}

TEST_CASE("an NVLink domain of 72 spans its trays; NICs are used between domains only") {
  ClusterSpec c = cluster_of(144);
  c.node.gpus_per_node = 4;
  c.node.nics_per_node = 4;
  c.nvlink_domain = 72;
  const Topology t(c);
  CHECK(t.count(VertexKind::nvswitch) == 2);
  CHECK(way(t, 0, 71) == "gpu 0, nvswitch 0, gpu 71");
  CHECK(way(t, 1, 73) == "gpu 1, pcie switch 1, nic 1, leaf 1, nic 73, pcie switch 73, gpu 73");
}

TEST_CASE("several NICs a GPU take turns by channel; one NIC for a node is reached from everywhere") {
  ClusterSpec many = cluster_of(16);
  many.node.nics_per_node = 32;
  const Topology t(many);
  std::set<std::string> ways;
  for (std::int32_t channel = 0; channel < 8; ++channel) ways.insert(way(t, 1, 9, {.channel = channel}));
  CHECK(ways.size() == 4);
  CHECK(way(t, 1, 9, {.channel = 6}) == "gpu 1, pcie switch 1, nic 6, leaf 6, nic 38, pcie switch 9, gpu 9");

  ClusterSpec one = cluster_of(16);
  one.node.nics_per_node = 1;
  one.node.rail_optimised = false;
  CHECK(way(Topology(one), 7, 8) ==
        "gpu 7, pcie switch 1, socket 1, socket 0, pcie switch 0, nic 0, leaf 0, nic 1, pcie switch 2, gpu 8");
}

TEST_CASE("any two GPUs of any shape are joined by a way whose links meet, also in a part-full node") {
  for (const IntraNodeFabric fabric :
       {IntraNodeFabric::nvswitch, IntraNodeFabric::nvlink_mesh, IntraNodeFabric::nvlink_cube_mesh,
        IntraNodeFabric::pcie, IntraNodeFabric::pcie_no_p2p})
    for (const std::int64_t nics : {1, 2, 3, 4, 8, 16})
      for (const bool rails : {true, false}) {
        ClusterSpec c = cluster_of(29);
        c.node.fabric = fabric;
        c.node.nics_per_node = nics;
        c.node.rail_optimised = rails;
        c.network.nodes_per_leaf = 2;
        const Topology t(c);
        CHECK(t.connected());
        for (std::int64_t a = 0; a < c.gpus; ++a)
          for (std::int64_t b = 0; b < c.gpus; ++b)
            if (a != b) way(t, a, b, {.pxn = (a + b) % 2 == 0, .channel = static_cast<std::int32_t>(a % 3)});
        for (std::size_t i = 0; i < t.links().size(); i += 2) {  // the two directions of a cable
          CHECK(t.links()[i].from == t.links()[i + 1].to);
          CHECK(t.links()[i].to == t.links()[i + 1].from);
          CHECK(t.links()[i].capacity == t.links()[i + 1].capacity);
        }
      }
}

TEST_CASE("a node from a topology file: its own switches, NICs and NVLinks") {
  const auto cluster = [](const std::string& json) {
    return Catalogue::load().cluster(SpecNode::parse(json, "test.json"));
  };
  // A DGX-1: GPU 0 beside GPU 1 and NIC 0 below the first of four switches; 0-3 has two NVLinks of 25 GB/s, 0-5 none.
  const Topology dgx1(cluster(R"({"topology": "tests/data/topology/dgx1_v100.xml", "nodes": 2})"));
  CHECK(dgx1.count(VertexKind::socket) == 4);
  CHECK(dgx1.count(VertexKind::pcie_switch) == 8);
  CHECK(dgx1.connected());
  CHECK(gigabytes_per_second(dgx1, dgx1.route(0, 3).at(0)) == doctest::Approx(50));
  CHECK(dgx1.route(0, 5).size() == 2);  // over GPU 1 or 4
  CHECK(way(dgx1, 1, 9) == "gpu 1, pcie switch 0, nic 0, leaf 0, nic 4, pcie switch 4, gpu 9");

  // Both NICs beside GPUs 2 and 3: GPU 7 goes over the processors' link, GPU 0 over its own.
  const Topology old(cluster(R"({"topology": "tests/data/topology/nvidia_smi_topo_m_old_8xv100.txt",
                                 "gpu": "v100-sxm2-32gb", "nodes": 2, "network": {"rail_optimised": false}})"));
  CHECK(way(old, 2, 10) == "gpu 2, pcie switch 0, nic 0, leaf 0, nic 2, pcie switch 1, gpu 10");
  CHECK(way(old, 7, 10) == "gpu 7, socket 1, socket 0, pcie switch 0, nic 0, leaf 0, nic 2, pcie switch 1, gpu 10");
  CHECK(way(old, 0, 10, {.channel = 1}) ==
        "gpu 0, socket 0, pcie switch 0, nic 1, leaf 0, nic 3, pcie switch 1, gpu 10");

  // Two GPUs that meet at the processor, without peer access: through host memory.
  const Topology pair(cluster(R"({"topology": "tests/data/topology/nvidia_smi_topo_m_2x5090.txt", "gpu": "rtx4090"})"));
  CHECK(way(pair, 0, 1) == "gpu 0, socket 0, gpu 1");
}

TEST_CASE("NVLink bridges join pairs; the others go over PCIe") {
  ClusterSpec c = cluster_of(8);
  c.node.fabric = IntraNodeFabric::nvlink_bridge;
  c.node.nics_per_node = 2;
  const Topology t(c);
  CHECK(way(t, 2, 3) == "gpu 2, gpu 3");
  CHECK(gigabytes_per_second(t, t.route(2, 3).at(0)) == doctest::Approx(450));
  CHECK(way(t, 1, 2) == "gpu 1, pcie switch 0, gpu 2");
}

TEST_CASE("16,384 GPUs: counts of everything, all connected") {
  // 2048 nodes in 64 groups of 32: 64 * 8 leaves, 32 spines. One switch a GPU, two sockets a node.
  const Topology t(cluster_of(16384));
  CHECK(t.count(VertexKind::gpu) == 16384);
  CHECK(t.count(VertexKind::nic) == 16384);
  CHECK(t.count(VertexKind::nvswitch) == 2048);
  CHECK(t.count(VertexKind::pcie_switch) == 16384);
  CHECK(t.count(VertexKind::socket) == 4096);
  CHECK(t.count(VertexKind::leaf) == 512);
  CHECK(t.count(VertexKind::spine) == 32);
  // GPU-switch, GPU-NVSwitch, NIC-switch, NIC-leaf, switch-socket and leaf-spine are 16384 cables each, and one between
  // the sockets of each node; two links a cable.
  CHECK(t.links().size() == 2 * (6 * 16384 + 2048));
  CHECK(t.connected());
}

TEST_CASE("two GPUs behind one NIC send at half its rate each") {
  ClusterSpec c = cluster_of(16);
  c.node.nics_per_node = 4;
  c.node.rail_optimised = false;
  const Topology t(c);
  TaskGraph graph;
  const LabelId label = graph.add_label({"send", {{graph.part("send"), 1}}});
  const DeviceId device = graph.add_device({"all"});
  for (const TopologyLink& link : t.links())
    graph.add_link({t.name(link.from) + " - " + t.name(link.to), link.capacity});
  for (const std::int64_t gpu : {0, 1, 2}) {
    std::vector<LinkUse> uses;
    for (const LinkId id : t.route(gpu, gpu + 8)) uses.push_back({id, 1});
    graph.add_task({.lane = graph.add_lane({"lane", device, LaneKind::communication}),
                    .label = label,
                    .duration = {},
                    .flow = 24 * GB,
                    .rate_limit = {},
                    .route = graph.add_route(uses)});
  }
  const Timeline timeline = simulate(graph);
  // GPUs 0 and 1 share PCIe switch 0, whose link to the NIC carries 48 GB/s: 24 each, 1 s. GPU 2 has 48: 0.5 s.
  CHECK(to_seconds(timeline.makespan).base() == doctest::Approx(1));
  CHECK(to_seconds(timeline.end[2] - TimePoint{}).base() == doctest::Approx(0.5));
}
