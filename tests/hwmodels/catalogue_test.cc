#include "hwmodels/catalogue.h"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "hwmodels/catalogue_reader.h"

namespace foretrain {
namespace {

const Catalogue& catalogue() {
  static const Catalogue loaded = Catalogue::load();
  return loaded;
}

ClusterSpec cluster(const std::string& json) { return catalogue().cluster(SpecNode::parse(json, "job.json")); }

std::string error_of(const std::string& json) {
  try {
    (void)cluster(json);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("data-sheet figures stand in the catalogue as cited") {
  // NVIDIA H100 SXM5 data sheet: 989.4 TFLOP/s dense bf16, 3.35 TB/s, NVLink 900 GB/s both ways, 132 SM, 700 W.
  const GpuSpec& h100 = catalogue().gpu("h100-sxm5-80gb", "test");
  CHECK(*peak(h100, DType::bf16) / TFLOP_per_s == doctest::Approx(989.4));
  CHECK(h100.memory_bandwidth / GB_per_s == doctest::Approx(3350));
  CHECK(2 * h100.scale_up_bandwidth / GB_per_s == doctest::Approx(900));
  CHECK(h100.sm_count == 132);
  CHECK(h100.compute_capability == 90);
  CHECK(h100.l2_cache / MB == doctest::Approx(50));
  // NVIDIA V100: no bf16, no tf32. A100: no fp8.
  CHECK_FALSE(peak(catalogue().gpu("v100-sxm2-32gb", "test"), DType::bf16));
  CHECK_FALSE(peak(catalogue().gpu("a100-sxm4-80gb", "test"), DType::fp8));
  CHECK(*peak(catalogue().gpu("gb300-288gb", "test"), DType::fp4) / TFLOP_per_s == doctest::Approx(15000));
}

TEST_CASE("a GPU offers less memory than twice the GiB that its name says, and at least 0.9 of the GB") {
  for (const GpuSpec& gpu : catalogue().gpus()) {
    // "h100-sxm5-80gb": the marketed size stands in the name.
    const std::size_t end = gpu.name.find("gb", gpu.name.find_last_of('-') == std::string::npos ? 0 : 3);
    std::size_t start = end;
    while (start > 0 && std::isdigit(static_cast<unsigned char>(gpu.name[start - 1]))) --start;
    if (start == end) continue;
    const double marketed = std::stod(gpu.name.substr(start, end - start));
    CHECK_MESSAGE(gpu.memory > 0.9 * marketed * GB, gpu.name);
    CHECK_MESSAGE(gpu.memory <= marketed * GiB, gpu.name);
  }
}

TEST_CASE("every GPU has a usual node, memory, bandwidth and an efficiency") {
  CHECK(catalogue().gpus().size() >= 26);
  CHECK(catalogue().nodes().size() >= 42);
  for (const GpuSpec& gpu : catalogue().gpus()) {
    CHECK_NOTHROW((void)catalogue().node(gpu.usual_node, "test"));
    CHECK_FALSE(gpu.source.empty());
    CHECK(gpu.memory > 10 * GiB);
    CHECK(gpu.memory_bandwidth > 100 * GB_per_s);
    CHECK(gpu.sm_count > 0);
    CHECK_FALSE(catalogue().efficiency(gpu).source.empty());
  }
  for (const ClusterSpec& node : catalogue().nodes()) {
    CHECK_FALSE(node.source.empty());
    CHECK(node.nvlink_domain % node.node.gpus_per_node == 0);
    CHECK(node.node.scale_up_bandwidth > Seconds::from_base(1) / Seconds::from_base(1) * GB_per_s);
  }
}

TEST_CASE("names match in any case, by alias and without a remark in brackets") {
  for (const char* name : {"h100", "H100", "H100-SXM5-80GB", "h100-sxm", "H100-SXM5-80GB (DGX)", "H100 (somewhere)"})
    CHECK(catalogue().gpu(name, "test").name == "h100-sxm5-80gb");
  CHECK(catalogue().gpu("A100-SXM4", "test").name == "a100-sxm4-80gb");
  CHECK(catalogue().gpu("H200-SXM-141GB (GCP A3 Ultra)", "test").name == "h200-sxm5-141gb");
  CHECK(catalogue().gpu("H100-96GB-HBM2e-500W", "test").name == "h100-sxm5-96gb-hbm2e");
  CHECK(catalogue().node("DGX-A100", "test").gpu.name == "a100-sxm4-80gb");
}

TEST_CASE("a cluster is a node of the catalogue, counted in nodes or GPUs") {
  const ClusterSpec c = cluster(R"({"node": "dgx-h100", "nodes": 32})");
  CHECK(c.gpus == 256);
  CHECK(node_count(c) == 32);
  // 8 NICs of 400 Gb/s for 8 GPUs: 50 GB/s each.
  CHECK(network_bandwidth_per_gpu(c) / GB_per_s == doctest::Approx(50));
  CHECK(cluster(R"("selene")").gpus == 560 * 8);
  CHECK(cluster(R"("dgx-h100")").gpus == 8);
  CHECK(cluster(R"({"node": "gb200-nvl72-tray", "nodes": 18})").nvlink_domain == 72);
}

TEST_CASE("a GPU count need not fill the last node") {
  const ClusterSpec c = cluster(R"({"gpu": "a100", "gpus": 1003})");
  CHECK(c.gpus == 1003);
  CHECK(c.node.gpus_per_node == 8);
  CHECK(node_count(c) == 126);  // 125 whole nodes and 3 GPUs
}

TEST_CASE("without a network a GPU stands in its usual node") {
  const ClusterSpec c = cluster(R"({"gpu": "h100", "gpus": 16})");
  CHECK(c.node.nics_per_node == 8);
  CHECK(c.node.nic_bandwidth / Gbit_per_s == doctest::Approx(400));
  CHECK(c.network.kind == NetworkKind::infiniband);
  CHECK(c.node.fabric == IntraNodeFabric::nvswitch);
}

TEST_CASE("a node's whole bandwidth is split over the NICs that such nodes have") {
  const ClusterSpec bloom = cluster(
      R"({"gpu": "a100-sxm4-80gb", "gpus": 384, "network": {"kind": "omni-path", "node_bandwidth": "400 Gb/s"}})");
  CHECK(bloom.node.nics_per_node == 4);  // Omni-Path comes in 100 Gb/s
  CHECK(bloom.node.nic_bandwidth / Gbit_per_s == doctest::Approx(100));
  CHECK_FALSE(bloom.node.rail_optimised);
  // Half the usual 1600 Gb/s: four HDR NICs of 200 Gb/s, not eight of 100. 900 Gb/s are no whole number of them.
  const ClusterSpec half =
      cluster(R"({"gpu": "a100-sxm4-80gb", "gpus": 64, "network": {"node_bandwidth": "800 Gb/s"}})");
  CHECK(half.node.nics_per_node == 4);
  CHECK(half.node.nic_bandwidth / Gbit_per_s == doctest::Approx(200));
  CHECK_FALSE(half.node.rail_optimised);
  const ClusterSpec odd =
      cluster(R"({"gpu": "a100-sxm4-80gb", "gpus": 64, "network": {"node_bandwidth": "900 Gb/s"}})");
  CHECK(odd.node.nics_per_node == 8);
  const ClusterSpec fast = cluster(R"({"gpu": "h100", "gpus": 64, "network": {"node_bandwidth": "3200 Gb/s"}})");
  CHECK(fast.node.nics_per_node == 8);
  CHECK(fast.node.nic_bandwidth / Gbit_per_s == doctest::Approx(400));
  const ClusterSpec given = cluster(R"({"gpu": "h100", "gpus": 64, "network": {"nic_bandwidth": "200 Gb/s",
      "nics_per_node": 4, "latency": "7 us", "efficiency": 0.8, "oversubscription": 2, "rail_optimised": false}})");
  CHECK(given.node.nics_per_node == 4);
  CHECK(given.network.latency / microseconds == doctest::Approx(7));
  CHECK(given.network.efficiency == doctest::Approx(0.8));
  CHECK(given.network.oversubscription == doctest::Approx(2));
}

TEST_CASE("the node follows the number of its GPUs") {
  // 4 V100 on one board are joined pair by pair; 16 are a DGX-2 with NVSwitch; 8 a DGX-1's cube mesh.
  CHECK(cluster(R"({"gpu": "v100", "gpus": 8, "gpus_per_node": 4})").node.fabric == IntraNodeFabric::nvlink_mesh);
  CHECK(cluster(R"({"gpu": "v100", "gpus": 8})").node.fabric == IntraNodeFabric::nvlink_cube_mesh);
  CHECK(cluster(R"({"gpu": "v100", "gpus": 32, "gpus_per_node": 16})").node.fabric == IntraNodeFabric::nvswitch);
  CHECK(cluster(R"({"gpu": "gb200", "gpus": 8, "gpus_per_node": 4})").nvlink_domain == 72);
}

TEST_CASE("the cluster of every published run is understood") {
  std::size_t understood = 0;
  for (const auto& entry : std::filesystem::directory_iterator("validate/published/runs")) {
    const SpecNode root = SpecNode::read_file(entry.path().string());
    for (const SpecNode& run : root.required("runs").items()) {
      CHECK_NOTHROW((void)catalogue().cluster(run.required("cluster")));
      ++understood;
    }
  }
  CHECK(understood >= 1000);
}

TEST_CASE("what cannot be a cluster is refused with its place and the way out") {
  CHECK(
      contains(error_of(R"({"gpu": "h10", "gpus": 8})"), "job.json:/gpu: unknown gpu \"h10\"; did you mean \"H100\"?"));
  CHECK(contains(error_of(R"({"node": "dgx-h10", "nodes": 8})"), "did you mean \"dgx-h100\"?"));
  CHECK(contains(error_of(R"("selen")"), "did you mean \"selene\"?"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"node_bandwith": "1 GB/s"}})"),
                 "\"node_bandwidth\"?"));
  CHECK(contains(error_of(R"({"node": "dgx-h100", "nodes": 0})"), "job.json:/nodes"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": -8})"), "job.json:/gpus"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 1e30})"), "job.json:/gpus"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"node_bandwidth": 400}})"), "Gb/s"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"nic_bandwidth": "0 Gb/s"}})"), "nic_bandwidth"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"nic_bandwidth": "1e8 GB/s"}})"), "nic_bandwidth"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"latency": "2 s"}})"), "0 to 1 s"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"efficiency": 0}})"), "efficiency"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"oversubscription": 0.5}})"), "oversubscription"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"nvlink_domain": 12}})"), "multiple of 8"));
  CHECK(contains(error_of(R"({"gpu": "h100", "gpus": 8, "network": {"node_bandwidth": "3200 Gb/s",
      "nic_bandwidth": "400 Gb/s", "nics_per_node": 4}})"),
                 "not nics_per_node times nic_bandwidth"));
  CHECK(contains(error_of(R"({"gpu": "h100", "node": "dgx-h100", "nodes": 1})"), "not both"));
  CHECK(contains(error_of(R"({"node": "dgx-h100", "nodes": 2, "gpus": 40})"), "do not make"));
  CHECK(contains(error_of(R"({"node": "dgx-h100"})"), "\"nodes\" or \"gpus\""));
  CHECK(contains(error_of(R"({"gpus": 8})"), "\"node\" or \"gpu\""));
  CHECK(contains(error_of("17"), "expected a cluster"));
}

TEST_CASE("a number whose source is not in the table is refused") {
  const std::string text = R"({"schema": "foretrain.links/1", "sources": {"a": "page 1"}, "links": {"x": {"what": "w",
      "bandwidth": {"value": "1 GB/s", "source": "b", "confidence": "high"}}}})";
  CHECK_THROWS_AS((void)read_links(SpecNode::parse(text, "links.json")), SpecError);
}

}  // namespace foretrain
