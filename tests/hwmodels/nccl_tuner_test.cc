#include "hwmodels/nccl_tuner.h"

#include <doctest/doctest.h>

#include "hwmodels/catalogue.h"

namespace foretrain {
namespace {

const Catalogue& catalogue() {
  static const Catalogue loaded = Catalogue::load();
  return loaded;
}

GroupLayout group(std::int64_t nodes, std::int64_t per_node) {
  return {.ranks = nodes * per_node, .ranks_per_node = per_node, .groups_sharing_nics = 1};
}

NcclSystem system(const char* node, GroupLayout g) { return nccl_system(g, catalogue().node(node, "test")); }

struct Chosen {
  NcclAlgorithm algorithm;
  NcclProtocol protocol;
  bool operator==(const Chosen&) const = default;
};
Chosen chosen(const char* node, GroupLayout g, CollectiveOp op, Bytes size) {
  const CollectiveTime t = collective_time(op, size, g, catalogue().node(node, "test"));
  return {t.algorithm, t.protocol};
}

constexpr Chosen kRingLl{NcclAlgorithm::ring, NcclProtocol::ll}, kRingLl128{NcclAlgorithm::ring, NcclProtocol::ll128},
    kRingSimple{NcclAlgorithm::ring, NcclProtocol::simple}, kNvls{NcclAlgorithm::nvls, NcclProtocol::simple},
    kTreeLl{NcclAlgorithm::tree, NcclProtocol::ll}, kTreeLl128{NcclAlgorithm::tree, NcclProtocol::ll128},
    kNvlsTree{NcclAlgorithm::nvls_tree, NcclProtocol::simple};

}  // namespace

TEST_CASE("the search finds the channels that NCCL logs") {
  // NCCL 2.28.9's search on these nodes: DGX A100 12x20 and, over nodes, 8x24; H100 12x30 and 8x48, NVLS 8x40;
  // H800 8x20, NVLS 8x15; B200 16x45, NVLS 8x80; Polaris 2x24 over nodes.
  const auto check = [](const NcclGraph& graph, double channels, double speed) {
    CHECK(graph.channels == channels);
    CHECK(graph.intra / GB_per_s == doctest::Approx(speed));
  };
  check(system("dgx-a100", group(1, 8)).ring, 12, 20);
  check(system("dgx-a100", group(4, 8)).ring, 8, 24);
  check(system("dgx-h100", group(1, 8)).ring, 12, 30);
  check(system("dgx-h100", group(4, 8)).ring, 8, 48);
  check(system("dgx-h100", group(1, 8)).nvls, 8, 40);
  check(system("hgx-h800", group(1, 8)).ring, 8, 20);
  check(system("hgx-h800", group(1, 8)).nvls, 8, 15);
  check(system("dgx-b200", group(1, 8)).ring, 16, 45);
  check(system("dgx-b200", group(1, 8)).nvls, 8, 80);
  check(system("alcf-polaris", group(8, 4)).ring, 2, 24);
  check(system("dgx-1-v100", group(1, 8)).ring, 6, 20);
}

TEST_CASE("ring LL all-reduce on 8 H100: 6.6 us and 14 steps of 0.6 us") {
  const NcclSystem s = system("dgx-h100", group(1, 8));
  const NcclCost c = nccl_cost(s, CollectiveOp::all_reduce, NcclAlgorithm::ring, NcclProtocol::ll);
  CHECK(c.latency / microseconds == doctest::Approx(6.6 + 14 * 0.6));
  // LL: the least of 141 GB/s and half of 360 GB/s on the bus, 8/14 of it as size over time.
  CHECK(c.bandwidth / GB_per_s == doctest::Approx(141 * 8.0 / 14));
}

TEST_CASE("NVLS on 8 H100: 8 channels of 40 GB/s, 85 %, 7 of 8 heads, both ways") {
  const NcclSystem s = system("dgx-h100", group(1, 8));
  const NcclCost c = nccl_cost(s, CollectiveOp::all_reduce, NcclAlgorithm::nvls, NcclProtocol::simple);
  CHECK(c.bandwidth / GB_per_s == doctest::Approx(8 * 40 * 0.85 * 7 / 8 * 2 * 8 / 14));
  CHECK_FALSE(nccl_cost(s, CollectiveOp::all_reduce, NcclAlgorithm::nvls, NcclProtocol::ll).possible);
  CHECK_FALSE(
      nccl_cost(system("dgx-a100", group(1, 8)), CollectiveOp::all_reduce, NcclAlgorithm::nvls, NcclProtocol::simple)
          .possible);
}

TEST_CASE("NCCL's choices on DGX H100 change where its own model changes them") {
  // NCCL 2.28.9 run on this topology: one node AllReduce Ring/LL up to 1 MiB, then NVLS; AllGather Ring LL, LL128 (8
  // MiB), Simple (32 MiB); two nodes AllReduce Tree LL, Tree LL128 (256 KiB), NVLSTree (2 MiB and more).
  const auto one = group(1, 8), two = group(2, 8);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_reduce, 64 * KiB) == kRingLl);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_reduce, 1 * MiB) == kRingLl);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_reduce, 4 * MiB) == kNvls);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_reduce, 1 * GiB) == kNvls);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_gather, 1 * MiB) == kRingLl);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_gather, 16 * MiB) == kRingLl128);
  CHECK(chosen("dgx-h100", one, CollectiveOp::all_gather, 64 * MiB) == kRingSimple);
  CHECK(chosen("dgx-h100", two, CollectiveOp::all_reduce, 16 * KiB) == kTreeLl);
  CHECK(chosen("dgx-h100", two, CollectiveOp::all_reduce, 1 * MiB) == kTreeLl128);
  CHECK(chosen("dgx-h100", two, CollectiveOp::all_reduce, 64 * MiB) == kNvlsTree);
}

TEST_CASE("LL128 needs NVLink, and a NIC near the GPU over nodes") {
  CHECK_FALSE(nccl_cost(system("pcie-box-l40s", group(1, 8)), CollectiveOp::all_reduce, NcclAlgorithm::ring,
                        NcclProtocol::ll128)
                  .possible);
  CHECK_FALSE(
      nccl_cost(system("alcf-polaris", group(2, 4)), CollectiveOp::all_reduce, NcclAlgorithm::ring, NcclProtocol::ll128)
          .possible);
  CHECK(nccl_cost(system("dgx-a100", group(2, 8)), CollectiveOp::all_reduce, NcclAlgorithm::ring, NcclProtocol::ll128)
            .possible);
}

TEST_CASE("NCCL's version: text to numbers") {
  CHECK(parse_nccl_version("2.18.3") == NcclVersion{2, 18, 3});
  CHECK(parse_nccl_version("2.21") == NcclVersion{2, 21, 0});
  CHECK(parse_nccl_version("2.22.3 (env)") == NcclVersion{2, 22, 3});
  CHECK(parse_nccl_version("2.12..2.16") == NcclVersion{2, 12, 0});
  CHECK_FALSE(parse_nccl_version("unknown (2023)"));
  CHECK_FALSE(parse_nccl_version("RCCL 2.26.6"));
  CHECK_FALSE(parse_nccl_version("2"));
  CHECK(NcclVersion{2, 9, 9} < NcclVersion{2, 10, 3});
}

TEST_CASE("each release's own constants decide") {
  // NVIDIA/nccl, src/graph/tuning.cc of each tag. Ring LL on 8 GPUs, all-reduce: 14 steps.
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  const auto ring_ll = [&](NcclVersion version) {
    h100.nccl.version = version;
    return nccl_cost(nccl_system(group(1, 8), h100), CollectiveOp::all_reduce, NcclAlgorithm::ring, NcclProtocol::ll);
  };
  // 2.12: base 3.6 us, 0.47 us a step; LL gets a quarter of the bus, 90 GB/s, and no more than 87.7.
  CHECK(ring_ll({2, 12, 12}).latency / microseconds == doctest::Approx(3.6 + 14 * 0.47));
  CHECK(ring_ll({2, 12, 12}).bandwidth / GB_per_s == doctest::Approx(87.7 * 8 / 14));
  // 2.20 has 2.28's latencies, and 2.12's share. From 2.21 on half of 360 GB/s, and no more than 141.
  CHECK(ring_ll({2, 20, 5}).latency / microseconds == doctest::Approx(6.6 + 14 * 0.6));
  CHECK(ring_ll({2, 20, 5}).bandwidth / GB_per_s == doctest::Approx(87.7 * 8 / 14));
  CHECK(ring_ll({2, 21, 5}).bandwidth / GB_per_s == doctest::Approx(141 * 8.0 / 14));
  // LL128 on Hopper came with 2.15, NVLS with 2.17.
  const auto possible = [&](NcclVersion version, NcclAlgorithm a, NcclProtocol p) {
    h100.nccl.version = version;
    return nccl_cost(nccl_system(group(1, 8), h100), CollectiveOp::all_reduce, a, p).possible;
  };
  CHECK_FALSE(possible({2, 14, 3}, NcclAlgorithm::ring, NcclProtocol::ll128));
  CHECK(possible({2, 15, 5}, NcclAlgorithm::ring, NcclProtocol::ll128));
  CHECK_FALSE(possible({2, 16, 2}, NcclAlgorithm::nvls, NcclProtocol::simple));
  CHECK(possible({2, 17, 1}, NcclAlgorithm::nvls, NcclProtocol::simple));
}

TEST_CASE("NCCL_ALGO and NCCL_PROTO of the cluster are honoured where they can be") {
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  h100.nccl.forced = {NcclAlgorithm::ring, NcclProtocol::simple};
  const CollectiveTime t = collective_time(CollectiveOp::all_reduce, 64 * KiB, group(1, 8), h100);
  CHECK(t.algorithm == NcclAlgorithm::ring);
  CHECK(t.protocol == NcclProtocol::simple);
  h100.nccl.forced = {NcclAlgorithm::nvls_tree, std::nullopt};  // not on one node
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 8), h100).algorithm == NcclAlgorithm::nvls);
}

TEST_CASE("EFA of p4d delivers out of order: NCCL sends by Simple alone") {
  CHECK(chosen("aws-p4d.24xlarge", group(2, 8), CollectiveOp::all_reduce, 1 * KiB).protocol == NcclProtocol::simple);
  CHECK(chosen("aws-p5.48xlarge", group(2, 8), CollectiveOp::all_reduce, 1 * KiB).protocol == NcclProtocol::ll);
}

TEST_CASE("GPUs of a mesh reach each other over their part of the links") {
  // Polaris: 12 NVLinks to three others, 100 GB/s to each. A pair has 100 of 300 GB/s, three GPUs 200.
  CHECK(system("alcf-polaris", group(1, 2)).node_link / GB_per_s == doctest::Approx(100));
  CHECK(system("alcf-polaris", group(1, 3)).node_link / GB_per_s == doctest::Approx(200));
  CHECK(system("alcf-polaris", group(1, 4)).node_link / GB_per_s == doctest::Approx(300));
  // DGX-1: GPU 0 and 1 share one link of 25 GB/s; 0, 1, 2 close a ring one link wide in each direction.
  CHECK(system("dgx-1-v100", group(1, 2)).node_link / GB_per_s == doctest::Approx(25));
  CHECK(system("dgx-1-v100", group(1, 3)).node_link / GB_per_s == doctest::Approx(50));
}

}  // namespace foretrain
