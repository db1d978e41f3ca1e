#include "hwmodels/nccl_tuner.h"

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/nccl_environment.h"

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
  h100.nccl.environment = parse_nccl_environment("ring", "simple", {}, "a", "p");
  const CollectiveTime t = collective_time(CollectiveOp::all_reduce, 64 * KiB, group(1, 8), h100);
  CHECK(t.algorithm == NcclAlgorithm::ring);
  CHECK(t.protocol == NcclProtocol::simple);
  h100.nccl.environment = parse_nccl_environment("NVLSTree", "", {}, "a", "p");  // not on one node
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 8), h100).algorithm == NcclAlgorithm::nvls);
}

TEST_CASE("lists by collective: NCCL_ALGO=ring;allreduce:tree,ring;allgather:^pat") {
  const auto bits = [](std::initializer_list<NcclAlgorithm> names) {
    unsigned set = 0;
    for (const NcclAlgorithm a : names) set |= 1U << static_cast<unsigned>(a);
    return set;
  };
  using A = NcclAlgorithm;
  const auto of = [](const NcclEnvironment& e, CollectiveOp op) { return e[static_cast<std::size_t>(op)]; };
  const NcclEnvironment e =
      parse_nccl_environment("ring;allreduce:tree,Ring;AllGather:^pat,NVLS", "^LL;reduce_scatter:simple", {}, "a", "p");
  CHECK(of(e, CollectiveOp::all_reduce).algorithms == bits({A::tree, A::ring}));
  CHECK(of(e, CollectiveOp::broadcast).algorithms == bits({A::ring}));
  CHECK(of(e, CollectiveOp::all_gather).algorithms ==
        bits({A::ring, A::tree, A::nvls_tree, A::collnet_direct, A::collnet_chain}));
  CHECK(of(e, CollectiveOp::all_reduce).protocols == 0b110);  // LL128 and Simple
  CHECK(of(e, CollectiveOp::reduce_scatter).protocols == 0b100);
  CHECK(parse_nccl_environment("", "", {}, "a", "p") == NcclEnvironment{});
  // On one node a tree is forced for sums alone; gathers keep their own choice.
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  h100.nccl.environment = parse_nccl_environment("allreduce:tree", "", {}, "a", "p");
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 8), h100).algorithm == A::tree);
  CHECK(collective_time(CollectiveOp::all_gather, 1 * GiB, group(1, 8), h100).algorithm == A::ring);
  // What is excluded is not taken: without NVLS a large sum on 8 H100 runs as a ring.
  h100.nccl.environment = parse_nccl_environment("^nvls", "", {}, "a", "p");
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 8), h100).algorithm == A::ring);
  // LL128 by name runs where NCCL would not take it by itself: over PCIe.
  ClusterSpec l40s = catalogue().node("pcie-box-l40s", "test");
  l40s.nccl.environment = parse_nccl_environment("", "LL128", {}, "a", "p");
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * MiB, group(1, 4), l40s).protocol == NcclProtocol::ll128);
}

TEST_CASE("what NCCL_ALGO cannot mean is refused with the nearest name") {
  const auto refused = [](const char* algorithms, const char* protocols, NcclVersion version, const char* why) {
    CHECK_THROWS_WITH_AS((void)parse_nccl_environment(algorithms, protocols, version, "NCCL_ALGO", "NCCL_PROTO"),
                         doctest::Contains(why), SpecError);
  };
  refused("rnig", "", {}, "NCCL_ALGO: unknown NCCL algorithm \"rnig\" (did you mean ring?)");
  refused("", "ll256", {}, "NCCL_PROTO: unknown NCCL protocol");
  refused("allredcue:ring", "", {}, "unknown collective \"allredcue\"");
  refused("allreduce:ring;tree", "", {}, "only the first list may lack its collective");
  refused("allreduce:ring", "", {2, 23, 4}, "NCCL 2.23 has one list for all collectives");
  refused("", "^ll,ll128,simple", {}, "none is left");
  refused("allreduce:", "", {}, "expected names");
}

TEST_CASE("PAT: gathers of groups with one GPU a node, from 2.23 on, until the ring's rate pays") {
  // NCCL 2.28.9 on 16 nodes, one rank each with a NIC of 48 GB/s: PAT 8 + 4 x 14/3.5 + 2.8 x 16 us and 0.75 x 48 GB/s;
  // Ring Simple 8.4 + 15 x 14 us and 48 x 16/15 GB/s; LL 6.6 + 15 x 5 us and 20.4 x 16/15 GB/s (Intel). So LL up to
  // (68.8 - 81.6 < 0) never; PAT beats Simple while S (1/36 - 1/51.2) us/KB < 149.6 us, up to 18 MB.
  GroupLayout g{.ranks = 16, .ranks_per_node = 1, .groups_sharing_nics = 8};
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  const auto algorithm = [&](Bytes size) { return collective_time(CollectiveOp::all_gather, size, g, h100).algorithm; };
  const NcclCost c =
      nccl_cost(nccl_system(g, h100), CollectiveOp::all_gather, NcclAlgorithm::pat, NcclProtocol::simple);
  CHECK(c.latency / microseconds == doctest::Approx(68.8));
  CHECK(c.bandwidth / GB_per_s == doctest::Approx(36));
  CHECK(algorithm(1 * MiB) == NcclAlgorithm::pat);
  CHECK(algorithm(64 * MiB) == NcclAlgorithm::ring);
  h100.nccl.version = {2, 22, 3};
  CHECK(algorithm(1 * MiB) == NcclAlgorithm::ring);
  h100.nccl.version = {};
  CHECK_FALSE(
      nccl_cost(nccl_system(group(2, 8), h100), CollectiveOp::all_gather, NcclAlgorithm::pat, NcclProtocol::simple)
          .possible);
}

TEST_CASE("CollNet: where the switches reduce, nodes send the size once, however many they are") {
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  const auto direct = [&](std::int64_t nodes, CollectiveOp op) {
    return nccl_cost(nccl_system(group(nodes, 8), h100), op, NcclAlgorithm::collnet_direct, NcclProtocol::simple);
  };
  CHECK_FALSE(direct(16, CollectiveOp::all_reduce).possible);
  h100.nccl.collnet = true;
  CHECK_FALSE(direct(1, CollectiveOp::all_reduce).possible);
  // 2.28.9: 2 (3.7 + 7 x 0.4) + 31 us; 8 NICs of 48 GB/s, 0.85 of it on Hopper, half of the bus.
  CHECK(direct(16, CollectiveOp::all_reduce).latency / microseconds == doctest::Approx(44));
  CHECK(direct(16, CollectiveOp::all_reduce).bandwidth / GB_per_s == doctest::Approx(0.5 * 0.85 * 8 * 48));
  // One GiB out of 8 NICs once, not twice as in a tree: 134 MB a GPU.
  const auto bytes_of = [&](const char* algorithm) {
    h100.nccl.environment = parse_nccl_environment(algorithm, "", {}, "a", "p");
    const CollectiveTime t = collective_time(CollectiveOp::all_reduce, 1 * GiB, group(16, 8), h100);
    return t.network_bytes_per_gpu / (1 * GiB);
  };
  CHECK(bytes_of("CollnetDirect") == doctest::Approx(1.0 / 8));
  CHECK(bytes_of("CollnetChain") == doctest::Approx(1.0 / 8));
  CHECK(bytes_of("NVLS") == doctest::Approx(1.0 / 8));
  CHECK(bytes_of("tree") == doctest::Approx(2.0 / 8));
}

TEST_CASE("releases before 2.28 rate NVLS by five sixths of its channels") {
  // NVIDIA/nccl v2.17.1, v2.18.3, v2.21.5, src/graph/tuning.cc. One DGX H100: 8 channels of 40 GB/s; 2.17 took 0.75 of
  // the ring's bus, 360 GB/s. Four nodes: 2.18 0.7 x 4/6 of 8 x 48; 2.19 to 2.27 5/6 of 8 x the lesser of 40 and 48/2.
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  const auto rate = [&](NcclVersion version, std::int64_t nodes, NcclAlgorithm a) {
    h100.nccl.version = version;
    return nccl_cost(nccl_system(group(nodes, 8), h100), CollectiveOp::all_reduce, a, NcclProtocol::simple).bandwidth /
           GB_per_s;
  };
  CHECK(rate({2, 17, 1}, 1, NcclAlgorithm::nvls) == doctest::Approx(0.75 * 360));
  CHECK(rate({2, 21, 5}, 1, NcclAlgorithm::nvls) == doctest::Approx(8 * 40 * 5.0 / 6));
  CHECK(rate({2, 18, 3}, 4, NcclAlgorithm::nvls_tree) == doctest::Approx(8 * 48 * 0.7 * 4 / 6));
  CHECK(rate({2, 21, 5}, 4, NcclAlgorithm::nvls_tree) == doctest::Approx(8 * 24 * 5.0 / 6));
  CHECK(rate({2, 28, 9}, 4, NcclAlgorithm::nvls_tree) == doctest::Approx(8 * 45.5 * 32 / 62));
}

TEST_CASE("trees that are chains, rings with one GPU a node: by release") {
  ClusterSpec h100 = catalogue().node("dgx-h100", "test");
  const auto cost = [&](NcclVersion version, GroupLayout g, CollectiveOp op, NcclAlgorithm a, NcclProtocol p) {
    h100.nccl.version = version;
    return nccl_cost(nccl_system(g, h100), op, a, p);
  };
  // Eight NICs bring 384 GB/s, more than 371 of a GPU's links: a chain, 0.85 of 8 x 41.4 x 0.92 ... from 2.18 on; here
  // 8 x 48 x 0.92 is more than 8 x 41.4, so 0.5 x 0.85 x 331.
  const auto tree = [&](NcclVersion v) {
    return cost(v, group(2, 8), CollectiveOp::all_reduce, NcclAlgorithm::tree, NcclProtocol::simple).bandwidth /
           GB_per_s;
  };
  CHECK(tree({2, 28, 9}) == doctest::Approx(0.5 * 0.85 * 8 * 41.4));
  CHECK(tree({2, 16, 5}) == doctest::Approx(0.5 * 8 * 41.4));
  // LL128 with one rank a node: 0.7 of the bus up to 2.22, 0.92 (and 36.7 GB/s a channel) since.
  const GroupLayout one{.ranks = 4, .ranks_per_node = 1, .groups_sharing_nics = 1};
  const auto ll128 = [&](NcclVersion v) {
    return cost(v, one, CollectiveOp::all_gather, NcclAlgorithm::ring, NcclProtocol::ll128).bandwidth / GB_per_s;
  };
  CHECK(ll128({2, 22, 3}) == doctest::Approx(4.0 / 3 * 0.7 * 48));
  CHECK(ll128({2, 23, 4}) == doctest::Approx(4.0 / 3 * 36.7));
  // ... and since 2.23 a step of 14 us as a tree's, not 14 of a ring: LL 5 us against 2.7.
  const auto ll = [&](NcclVersion v) {
    return cost(v, one, CollectiveOp::all_gather, NcclAlgorithm::ring, NcclProtocol::ll).latency / microseconds;
  };
  CHECK(ll({2, 22, 3}) == doctest::Approx(6.6 + 3 * 2.7));
  CHECK(ll({2, 23, 4}) == doctest::Approx(6.6 + 3 * 5));
  // Gathers on one node: LL had a third of the bus before 2.21, sums a quarter.
  const auto share = [&](CollectiveOp op) {
    ClusterSpec a100 = catalogue().node("dgx-a100", "test");
    a100.nccl.version = {2, 20, 5};
    return nccl_cost(nccl_system(group(1, 8), a100), op, NcclAlgorithm::ring, NcclProtocol::ll).bandwidth / GB_per_s;
  };
  CHECK(share(CollectiveOp::all_gather) == doctest::Approx(8.0 / 7 * 240 / 3));
  CHECK(share(CollectiveOp::all_reduce) == doctest::Approx(8.0 / 14 * 240 / 4));
}

TEST_CASE(
    "with four NICs for eight GPUs large sums over two nodes run as rings, with eight of half the rate as trees") {
  // DGX A100 with 4 x 200 Gb/s: 4 channels of 24 GB/s; a tree's channel carries no more than 23.6 (tuning.cc), so the
  // ring is rated 4 x 24 x 16/30 = 51 GB/s and the tree 0.5 x 4 x 23.6 x 0.9 (correction at 256 MiB) = 42 GB/s. Eight
  // NICs of half the rate make 8 channels of 12 GB/s: the same ring, but a tree of 0.5 x 8 x 23.6 x 0.9 = 85 GB/s.
  ClusterSpec a100 = catalogue().node("dgx-a100", "test");
  const auto algorithm = [&](std::int64_t nics, Bytes size) {
    a100.node.nics_per_node = nics;
    a100.node.nic_bandwidth = 800.0 / static_cast<double>(nics) * Gbit_per_s;
    return collective_time(CollectiveOp::all_reduce, size, group(2, 8), a100).algorithm;
  };
  CHECK(algorithm(4, 256 * MiB) == NcclAlgorithm::ring);
  CHECK(algorithm(4, 1 * MiB) == NcclAlgorithm::tree);
  CHECK(algorithm(8, 256 * MiB) == NcclAlgorithm::tree);
  a100.node.nics_per_node = 4;
  a100.node.nic_bandwidth = 200 * Gbit_per_s;
  const NcclSystem s = nccl_system(group(2, 8), a100);
  const auto rate = [&](NcclAlgorithm a) {
    return nccl_cost(s, CollectiveOp::all_reduce, a, NcclProtocol::simple).bandwidth / GB_per_s;
  };
  CHECK(rate(NcclAlgorithm::ring) == doctest::Approx(4 * 24 * 16.0 / 30));
  CHECK(rate(NcclAlgorithm::tree) == doctest::Approx(0.5 * 4 * 23.6));
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
