#include "hwmodels/node_routes.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/collective_time.h"
#include "hwmodels/nccl_tuner.h"

using namespace foretrain;

namespace {

ClusterSpec cluster(const std::string& json) {
  static const Catalogue catalogue = Catalogue::load();
  return catalogue.cluster(SpecNode::parse(json, "test.json"));
}

ClusterSpec from_file(const std::string& file, const std::string& more) {
  return cluster(R"({"topology": "tests/data/topology/)" + file + "\"" + more + "}");
}

std::string message_of(const std::string& json) {
  try {
    static_cast<void>(cluster(json));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "accepted";
}

double microseconds_of(const ClusterSpec& c, CollectiveOp op, const GroupLayout& group) {
  return collective_time(op, 256 * MiB, group, c).time / microseconds;
}

}  // namespace

TEST_CASE("a dump names its GPUs by PCI device; fabric, links, NICs and processor follow") {
  const ClusterSpec c = from_file("dgx1_v100.xml", R"(, "nodes": 4)");
  CHECK(c.gpu.name == "v100-sxm2-32gb");
  CHECK(c.gpus == 32);
  CHECK(c.node.fabric == IntraNodeFabric::nvlink_cube_mesh);
  CHECK(c.node.scale_up_bandwidth / GB_per_s == doctest::Approx(150));
  CHECK(c.node.nics_per_node == 4);
  CHECK(c.node.nic_bandwidth / Gbit_per_s == doctest::Approx(100));
  CHECK(c.node.cpu == HostCpu::intel);
  CHECK(c.nvlink_domain == 8);
}

TEST_CASE(
    "nvidia-smi's table: more links of all pairs than a GPU has are an NVSwitch; the NIC near no GPU is left out") {
  const ClusterSpec c = from_file("nvidia_smi_topo_m_8xh100_9nic.txt", R"(, "gpu": "h100", "nodes": 2)");
  CHECK(c.node.fabric == IntraNodeFabric::nvswitch);
  CHECK(c.node.scale_up_bandwidth / GB_per_s == doctest::Approx(450));
  CHECK(c.node.nics_per_node == 8);
  CHECK(c.node.nic_bandwidth / Gbit_per_s == doctest::Approx(400));  // not in the table: that of the usual node
  CHECK(c.node.map->nics.size() == 8);
  const ClusterSpec faster = from_file("nvidia_smi_topo_m_8xh100_9nic.txt",
                                       R"(, "gpu": "h100", "nodes": 2, "network": {"nic_bandwidth": "200 Gb/s"})");
  CHECK(faster.node.nic_bandwidth / Gbit_per_s == doctest::Approx(200));
  CHECK(faster.node.map->parts[static_cast<std::size_t>(faster.node.map->nics[0])].rate / Gbit_per_s ==
        doctest::Approx(200));
}

TEST_CASE("GPUs without peer access, and a pair on a bridge") {
  const ClusterSpec c = from_file("nvidia_smi_topo_m_2x5090.txt", R"(, "gpu": "rtx4090")");
  CHECK(c.node.fabric == IntraNodeFabric::pcie_no_p2p);
  CHECK(c.gpus == 2);
  // Data-centre GPUs that meet at the processor: NCCL copies through host memory, too.
  CHECK(from_file("nvidia_smi_topo_m_2x5090.txt", R"(, "gpu": "l40s")").node.fabric == IntraNodeFabric::pcie_no_p2p);
}

TEST_CASE("what file and keys contradict is refused, and what cannot reach what is named") {
  const std::string v4 = R"({"topology": "tests/data/topology/azure-ndv4-topo.xml")";
  CHECK(message_of(v4 + "}") ==
        "test.json: which GPUs these are, tests/data/topology/azure-ndv4-topo.xml does not say: give \"gpu\" or "
        "\"node\"");
  CHECK(message_of(v4 + R"(, "node": "gb200-nvl72-tray"})") ==
        "test.json:/topology: 8 GPUs in tests/data/topology/azure-ndv4-topo.xml, but 4 in gb200-nvl72-tray; give "
        "\"gpu\" instead of \"node\"");
  CHECK(message_of(v4 + R"(, "gpu": "a100", "gpus_per_node": 4})").find("4 GPUs, but 8 in") != std::string::npos);
  CHECK(
      message_of(v4 + R"(, "gpu": "a100", "network": {"nics_per_node": 4}})").find("the topology file has the NICs") !=
      std::string::npos);
  CHECK(message_of(R"({"topology": "tests/data/topology/dgx1_v100.xml", "gpu": "a100"})") ==
        "test.json:/topology: tests/data/topology/dgx1_v100.xml shows GPUs v100-sxm2-32gb (PCI device 0x1db5), not "
        "a100-sxm4-80gb");
  CHECK(message_of(R"({"topology": "tests/data/topology/nvidia_smi_topo_m_old_8xv100.txt", "gpu": "l40s"})") ==
        "test.json:/topology: tests/data/topology/nvidia_smi_topo_m_old_8xv100.txt: 6 NVLinks at GPU GPU0; l40s-48gb "
        "has none");
  CHECK(
      message_of(R"({"topology": "tests/data/topology/nvidia_smi_topo_m_2x5090.txt", "gpu": "rtx4090", "nodes": 2})") ==
      "test.json:/topology: GPU GPU0 of one node cannot reach another node: "
      "tests/data/topology/nvidia_smi_topo_m_2x5090.txt "
      "shows no NIC; give \"nics_per_node\" and \"nic_bandwidth\" in \"network\"");
  CHECK(
      message_of(
          R"({"topology": ["tests/data/topology/azure-ndv4-topo.xml", "tests/data/topology/aws-p4de-24xl-topo.xml"], "gpu": "a100"})") ==
      "test.json:/topology/1: tests/data/topology/aws-p4de-24xl-topo.xml is another node than "
      "tests/data/topology/azure-ndv4-topo.xml: 4 NICs, not 8; a cluster is made of equal ones");
}

TEST_CASE("keys complete what a file lacks: NICs on the sockets that have GPUs, links taken away") {
  const ClusterSpec c = from_file("nvidia_smi_topo_m_2x5090.txt", R"(, "gpu": "rtx4090", "nodes": 2,
      "network": {"nics_per_node": 4, "nic_bandwidth": "100 Gb/s"})");
  CHECK(c.node.nics_per_node == 4);
  CHECK(c.node.map->nics.size() == 4);
  CHECK(distance(*c.node.map, c.node.map->gpus[0], c.node.map->nics[3]) == NodeDistance::phb);
  CHECK(from_file("dgx1_v100.xml", R"(, "intra_node": "pcie")").node.fabric == IntraNodeFabric::pcie);
  CHECK(
      message_of(R"({"topology": "tests/data/topology/dgx1_v100.xml", "intra_node": "nvswitch"})") ==
      "test.json:/intra_node: the topology makes it nvlink_cube_mesh: \"intra_node\" may only take NVLinks away (pcie, "
      "pcie_no_p2p)");
}

TEST_CASE("hosts give the number of nodes and their names") {
  CHECK(cluster(R"({"node": "dgx-h100", "hosts": "dgx[01-04]"})").gpus == 32);
  CHECK(cluster(R"({"node": "dgx-h100", "hosts": ["a", "b[1-2]"]})").hosts->at(2) == "b2");
  CHECK(message_of(R"({"node": "dgx-h100", "nodes": 3, "hosts": "dgx[01-04]"})") ==
        "test.json:/nodes: 3 nodes, but 4 hosts in the list");
  CHECK(message_of(R"({"node": "dgx-h100", "hosts": "dgx[01-04"})") ==
        "test.json:/hosts: a bracket without its end in \"dgx[01-04\"");
}

TEST_CASE("rings of NVLinks in a DGX-1, as many as its links allow") {
  const NodeMap map = *from_file("dgx1_v100.xml", "").node.map;
  // 0-1 has one link, 0-3 two, 0-5 none. 0-1-2: 0-1, 1-2, 2-0 close one cycle, two rings. 0-3: degree 4, two cycles
  // (0-3-1-2, 0-3-2-1 use 0-3 twice). All eight: six links each, three cycles, six rings.
  CHECK(nvlink_rings(map, {0, 1}) == 1);
  CHECK(nvlink_rings(map, {0, 3}) == 2);
  CHECK(nvlink_rings(map, {0, 5}) == 0);
  CHECK(nvlink_rings(map, {0, 1, 2}) == 2);
  CHECK(nvlink_rings(map, {0, 1, 2, 3}) == 4);
  CHECK(nvlink_rings(map, {0, 1, 2, 3, 4}) == 0);  // GPU 4 hangs on GPU 0 alone
  CHECK(nvlink_rings(map, {0, 1, 2, 3, 4, 5, 6, 7}) == 6);
}

TEST_CASE("NICs that GPUs share, and links that fill first") {
  // p4de: a NIC of 100 Gb/s = 12.5 GB/s for two GPUs, PCIe Gen3 x16 of 15.75 * 256/280 = 14.4 GB/s.
  const ClusterSpec p4de = from_file("aws-p4de-24xl-topo.xml", R"(, "node": "aws-p4de.24xlarge", "nodes": 2)");
  const GroupRoutes alone = group_routes(*p4de.node.map, 1, 1, 1);
  CHECK(alone.nics == 1);
  CHECK(alone.own / GB_per_s == doctest::Approx(12.5));
  CHECK(alone.shared / GB_per_s == doctest::Approx(6.25));
  const GroupRoutes all = group_routes(*p4de.node.map, 1, 8, 1);
  CHECK(all.nics == 4);
  CHECK(all.own / GB_per_s == doctest::Approx(50));
  CHECK(all.nic_distance == NodeDistance::pix);
  CHECK_FALSE(all.one_socket);
  CHECK(group_routes(*p4de.node.map, 1, 4, 1).one_socket);
  // GPUs 0, 2, 4, 6 have all four NICs; 0, 1 share one.
  CHECK(group_routes(*p4de.node.map, 1, 4, 2).nics == 4);
  CHECK(group_routes(*p4de.node.map, 1, 2, 1).nics == 1);
}

TEST_CASE("GPUs whose NICs are all across the sockets share the processors' link") {
  // The old V100 box: both NICs of 100 Gb/s on socket 0. Groups of one GPU: 4 to 7 send over the socket link, which the
  // table does not show: 10 GB/s between Skylakes. Alone each has min(2 NICs = 25, 15.75 * 256/280, 10) = 10 GB/s.
  const ClusterSpec c = from_file("nvidia_smi_topo_m_old_8xv100.txt",
                                  R"(, "gpu": "v100-sxm2-32gb", "nodes": 2, "network": {"nic_bandwidth": "100 Gb/s"})");
  CHECK(c.node.fabric == IntraNodeFabric::nvlink_cube_mesh);
  const GroupRoutes one = group_routes(*c.node.map, 1, 1, 1);
  CHECK(one.own / GB_per_s == doctest::Approx(10));
  CHECK(one.nic_distance == NodeDistance::sys);
  // Eight at once: four of them in 10 GB/s, 2.5 each; six, all but GPUs 2 and 3, down the 14.4 GB/s to the NICs'
  // switch.
  CHECK(one.shared / GB_per_s == doctest::Approx(2.4));
  // The whole node uses its NICs from the GPUs beside them, 2 and 3: two NICs of 12.5, fed by two GPUs.
  const GroupRoutes whole = group_routes(*c.node.map, 1, 8, 1);
  CHECK(whole.nics == 2);
  CHECK(whole.own / GB_per_s == doctest::Approx(25));
  CHECK(whole.nic_distance == NodeDistance::pix);
  // Times follow: 8 rings of 1 GPU a node at 2.4 GB/s each against a quarter of two NICs, 3.1 GB/s.
  const GroupLayout rings{.ranks = 2, .ranks_per_node = 1, .groups_sharing_nics = 8};
  ClusterSpec even = c;
  even.node.map = nullptr;
  CHECK(microseconds_of(c, CollectiveOp::all_gather, rings) >
        1.15 * microseconds_of(even, CollectiveOp::all_gather, rings));
}

TEST_CASE("a file of the usual node predicts what the usual node does") {
  const ClusterSpec file = from_file("azure-ndv5-topo.xml", R"(, "node": "azure-nd96isr_h100_v5", "nodes": 4)");
  const ClusterSpec named = cluster(R"({"node": "azure-nd96isr_h100_v5", "nodes": 4})");
  for (const CollectiveOp op : {CollectiveOp::all_reduce, CollectiveOp::all_gather, CollectiveOp::all_to_all})
    for (const GroupLayout& group :
         {GroupLayout{.ranks = 8, .ranks_per_node = 8}, GroupLayout{.ranks = 32, .ranks_per_node = 8},
          GroupLayout{.ranks = 4, .ranks_per_node = 1, .groups_sharing_nics = 8},
          GroupLayout{.ranks = 16, .ranks_per_node = 4, .groups_sharing_nics = 2, .gpu_stride = 2}})
      CHECK(microseconds_of(file, op, group) == doctest::Approx(microseconds_of(named, op, group)));
}
