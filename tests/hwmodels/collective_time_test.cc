#include "hwmodels/collective_time.h"

#include <cmath>

#include <doctest/doctest.h>

#include "hwmodels/catalogue.h"

namespace foretrain {
namespace {

const Catalogue& catalogue() {
  static const Catalogue loaded = Catalogue::load();
  return loaded;
}

ClusterSpec node(const char* name) { return catalogue().node(name, "test"); }

GroupLayout group(std::int64_t nodes, std::int64_t per_node, std::int64_t sharing = 1) {
  return {.ranks = nodes * per_node, .ranks_per_node = per_node, .groups_sharing_nics = sharing};
}

constexpr std::array kOps = {CollectiveOp::all_reduce, CollectiveOp::all_gather, CollectiveOp::reduce_scatter,
                             CollectiveOp::all_to_all, CollectiveOp::broadcast,  CollectiveOp::send_recv};

double ms(Seconds t) { return t / milliseconds; }

}  // namespace

TEST_CASE("bus factors: what each rank sends over the size that nccl-tests prints") {
  // nccl-tests doc/PERFORMANCE.md. Ring of 8: 2*7/8 = 1.75 and 7/8.
  CHECK(bus_factor(CollectiveOp::all_reduce, 8) == doctest::Approx(1.75));
  CHECK(bus_factor(CollectiveOp::all_gather, 8) == doctest::Approx(0.875));
  CHECK(bus_factor(CollectiveOp::reduce_scatter, 8) == doctest::Approx(0.875));
  CHECK(bus_factor(CollectiveOp::send_recv, 2) == 1);
  CHECK(bus_factor(CollectiveOp::all_reduce, 1) == 0);
}

TEST_CASE("a ring all-reduce is a reduce-scatter and an all-gather, in bytes and in time") {
  for (const std::int64_t n : {2, 3, 8, 64, 1024}) {
    const Bytes size = 1 * GB;
    CHECK(bus_factor(CollectiveOp::all_reduce, n) ==
          doctest::Approx(2.0 * static_cast<double>(n - 1) / static_cast<double>(n)));
    const auto t = [&](CollectiveOp op) { return wire_time(op, size, n, 50 * GB_per_s) / seconds; };
    CHECK(t(CollectiveOp::all_reduce) ==
          doctest::Approx(t(CollectiveOp::reduce_scatter) + t(CollectiveOp::all_gather)));
  }
  // In the model too, forced onto the same ring and protocol: the sum starts twice and copies once more.
  const ClusterSpec h100 = node("dgx-h100");
  const CollectiveChoice ring{NcclAlgorithm::ring, NcclProtocol::simple};
  for (const GroupLayout g : {group(1, 8), group(4, 8)}) {
    const auto t = [&](CollectiveOp op) { return collective_time(op, 1 * GiB, g, h100, ring); };
    const CollectiveTime ar = t(CollectiveOp::all_reduce), rs = t(CollectiveOp::reduce_scatter),
                         ag = t(CollectiveOp::all_gather);
    CHECK(ar.network_bytes_per_gpu / bytes ==
          doctest::Approx((rs.network_bytes_per_gpu + ag.network_bytes_per_gpu) / bytes));
    CHECK(ms(ar.time) == doctest::Approx(ms(rs.time + ag.time)).epsilon(0.05));
  }
}

TEST_CASE("textbook: 440 MB take 0.7 ms over NVLink and 10 ms over InfiniBand") {
  // 440 MB / 600 GB/s (A100, both ways) = 0.733 ms; 440 MB / (400 Gb/s NIC at its payload rate, 47 GB/s) = 9.4 ms.
  CHECK(ms(wire_time(CollectiveOp::send_recv, 440 * MB, 2, 600 * GB_per_s)) == doctest::Approx(0.7).epsilon(0.10));
  const ClusterSpec ib = node("dgx-h100");
  const BytesPerSecond payload = ib.network.efficiency * ib.node.nic_bandwidth;
  CHECK(ms(wire_time(CollectiveOp::send_recv, 440 * MB, 2, payload)) == doctest::Approx(10).epsilon(0.10));
}

TEST_CASE("textbook: tensor parallelism of b=4 s=2048 d=8192 moves 134 MB twice a layer") {
  const Bytes activation = 4.0 * 2048 * 8192 * 2 * bytes;  // bf16
  CHECK(activation / MB == doctest::Approx(134.2).epsilon(0.001));
  const Bytes forward = 2.0 * 40 * activation;
  CHECK(forward / GB == doctest::Approx(10.7).epsilon(0.01));
  CHECK(ms(wire_time(CollectiveOp::send_recv, forward, 2, 600 * GB_per_s)) == doctest::Approx(17.9).epsilon(0.01));
  CHECK(ms(wire_time(CollectiveOp::send_recv, forward, 2, 50 * GB_per_s)) == doctest::Approx(215).epsilon(0.01));
}

TEST_CASE("tensor parallelism across nodes is slower than inside") {
  for (const char* name : {"dgx-a100", "dgx-h100", "dgx-b200", "aws-p4de.24xlarge"})
    for (const Bytes size : {1 * MiB, 134 * MB}) {
      const Seconds inside = collective_time(CollectiveOp::all_reduce, size, group(1, 8), node(name)).time;
      const Seconds across = collective_time(CollectiveOp::all_reduce, size, group(2, 4, 2), node(name)).time;
      CHECK(across > inside);
    }
}

TEST_CASE("large messages run at the bus rates that were measured") {
  // nccl-tests, 512 MiB, us: H100 x8 all_reduce 2106-2151, all_gather 1394-1402, reduce_scatter 1399-1410; A100 x8
  // all_reduce 4226; B200 x8 all_reduce 1335-1375, all_gather 761 (validate/published/collectives).
  const auto us = [](const char* name, CollectiveOp op) {
    return collective_time(op, 512 * MiB, group(1, 8), node(name)).time / microseconds;
  };
  CHECK(us("dgx-h100", CollectiveOp::all_reduce) == doctest::Approx(2120).epsilon(0.08));
  CHECK(us("dgx-h100", CollectiveOp::all_gather) == doctest::Approx(1398).epsilon(0.08));
  CHECK(us("dgx-h100", CollectiveOp::reduce_scatter) == doctest::Approx(1405).epsilon(0.08));
  CHECK(us("dgx-a100", CollectiveOp::all_reduce) == doctest::Approx(4226).epsilon(0.08));
  CHECK(us("dgx-b200", CollectiveOp::all_reduce) == doctest::Approx(1355).epsilon(0.08));
  CHECK(us("dgx-b200", CollectiveOp::all_gather) == doctest::Approx(761).epsilon(0.10));
}

TEST_CASE("over libfabric each rank's message waits for the one before: small rings take time by ranks, not by nodes") {
  // all_gather of 16 to 128 B a rank on Polaris, us (argonne-lcf/alcf-nccl-tests): 32 ranks 248, 512 ranks 3850, 1024
  // ranks 8020, 2160 ranks 17000, which is 7.6 to 8.0 us for each of n-1 messages through a link between nodes.
  const auto us = [](std::int64_t nodes) {
    return collective_time(CollectiveOp::all_gather, static_cast<double>(nodes) * 64 * bytes, group(nodes, 4),
                           node("alcf-polaris"))
               .time /
           microseconds;
  };
  CHECK(us(8) == doctest::Approx(248).epsilon(0.15));
  CHECK(us(128) == doctest::Approx(3850).epsilon(0.1));
  CHECK(us(256) == doctest::Approx(8020).epsilon(0.1));
  CHECK(us(540) == doctest::Approx(17000).epsilon(0.1));
}

TEST_CASE("plain sockets carry what the processors copy, whatever the NICs") {
  // 6 GB/s out of each of two nodes (hwmodels/catalogue/networks.json): a ring of 16 passes 15/16 of 1 GiB there.
  ClusterSpec box = node("pcie-box-l40s");
  box.node.nic_bandwidth = 400 * Gbit_per_s;
  box.node.nics_per_node = 8;
  const CollectiveTime t = collective_time(CollectiveOp::all_gather, 1 * GiB, group(2, 8), box);
  CHECK(ms(t.time - t.latency) == doctest::Approx(1073.741824 * 15 / 16 / 6).epsilon(1e-6));
}

TEST_CASE("no time without another rank or a byte") {
  CHECK(collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 1), node("dgx-h100")).time == Seconds{});
  CHECK(collective_time(CollectiveOp::all_gather, Bytes{}, group(1, 8), node("dgx-h100")).time == Seconds{});
}

TEST_CASE("a larger message never takes less time, on any node of the catalogue") {
  for (const ClusterSpec& cluster : catalogue().nodes())
    for (const CollectiveOp op : kOps)
      for (const GroupLayout& g :
           {group(1, 2), group(1, cluster.node.gpus_per_node), group(2, cluster.node.gpus_per_node),
            group(16, 1, cluster.node.gpus_per_node), group(64, cluster.node.gpus_per_node)}) {
        Seconds before;
        for (double size = 256; size < 2e10; size *= 1.3) {
          const Seconds t = collective_time(op, size * bytes, g, cluster).time;
          CHECK(std::isfinite(t / seconds));
          REQUIRE_MESSAGE(t >= before, cluster.name);
          before = t;
        }
      }
}

TEST_CASE("time is latency and a transfer that no link or NIC exceeds") {
  for (const ClusterSpec& cluster : catalogue().nodes())
    for (const CollectiveOp op : kOps)
      for (const std::int64_t nodes : {1, 2, 8}) {
        const std::int64_t per_node = cluster.node.gpus_per_node;
        const CollectiveTime t = collective_time(op, 1 * GiB, group(nodes, per_node), cluster);
        CHECK(t.latency > Seconds{});
        const Seconds transfer = t.time - t.latency;
        CHECK(transfer > Seconds{});
        if (op != CollectiveOp::send_recv)  // one message has the NIC of its GPU, not a share of the node's
          CHECK(t.network_bytes_per_gpu <= transfer * network_bandwidth_per_gpu(cluster));
        CHECK(t.scale_up_bytes_per_gpu <= transfer * max(cluster.node.scale_up_bandwidth, cluster.gpu.pcie_bandwidth));
        if (nodes == 1) CHECK(t.network_bytes_per_gpu == Bytes{});
      }
}

TEST_CASE("groups that share a node's NICs get their part of them") {
  // 8 rings of one rank a node on 8 NICs: each has a NIC, as alone. On 4 NICs (p4de) two share one: twice the transfer.
  const auto transfer = [](const char* name, std::int64_t sharing) {
    const CollectiveTime t = collective_time(CollectiveOp::all_gather, 1 * GiB, group(16, 1, sharing), node(name));
    return t.time - t.latency;
  };
  CHECK(transfer("dgx-h100", 8) / seconds == doctest::Approx(transfer("dgx-h100", 1) / seconds));
  CHECK(transfer("aws-p4de.24xlarge", 8) / seconds == doctest::Approx(2 * transfer("aws-p4de.24xlarge", 1) / seconds));
}

TEST_CASE("two nodes exchange a tree's sum once: faster than the NIC rate over the ring's bytes") {
  // NVIDIA/nccl issue 309: two DGX H100 reach 467 GB/s of bus bandwidth on 400 GB/s of NICs; a ring cannot.
  const GroupLayout g = group(2, 8);
  const auto bus = [&](const CollectiveChoice& choice) {
    const Seconds t = collective_time(CollectiveOp::all_reduce, 8 * GiB, g, node("dgx-h100"), choice).time;
    return bus_factor(CollectiveOp::all_reduce, 16) * (8 * GiB) / t / GB_per_s;
  };
  CHECK(bus({}) == doctest::Approx(467).epsilon(0.08));
  CHECK(bus({NcclAlgorithm::ring, std::nullopt}) < 400);
}

TEST_CASE("forcing an algorithm or protocol is honoured where the group can do it") {
  const auto run = [](const CollectiveChoice& choice, const char* name) {
    return collective_time(CollectiveOp::all_reduce, 64 * MiB, group(1, 8), node(name), choice);
  };
  CHECK(run({NcclAlgorithm::ring, std::nullopt}, "dgx-h100").algorithm == NcclAlgorithm::ring);
  CHECK(run({NcclAlgorithm::tree, NcclProtocol::simple}, "dgx-h100").algorithm == NcclAlgorithm::tree);
  CHECK(run({std::nullopt, NcclProtocol::ll}, "dgx-h100").protocol == NcclProtocol::ll);
  CHECK(run({NcclAlgorithm::nvls, std::nullopt}, "dgx-a100").algorithm != NcclAlgorithm::nvls);
  CHECK(run({std::nullopt, NcclProtocol::ll}, "dgx-h100").time > run({}, "dgx-h100").time);
}

TEST_CASE("an NVL72 rack is one domain: no byte leaves over NICs") {
  const ClusterSpec rack = node("gb200-nvl72-tray");
  const CollectiveTime inside = collective_time(CollectiveOp::all_reduce, 1 * GiB, group(1, 72), rack);
  CHECK(inside.network_bytes_per_gpu == Bytes{});
  const CollectiveTime racks = collective_time(CollectiveOp::all_reduce, 1 * GiB, group(2, 72), rack);
  CHECK(racks.time > inside.time);
  CHECK(racks.network_bytes_per_gpu > Bytes{});
}

TEST_CASE("the network's latency, efficiency and NICs count") {
  ClusterSpec c = node("dgx-h100");
  const GroupLayout g = group(8, 8);
  const Seconds small = collective_time(CollectiveOp::all_reduce, 8 * KiB, g, c).time;
  const Seconds large = collective_time(CollectiveOp::all_gather, 1 * GiB, g, c).time;
  c.network.latency = 50 * microseconds;
  CHECK(collective_time(CollectiveOp::all_reduce, 8 * KiB, g, c).time > 3 * small);
  c = node("dgx-h100");
  c.network.efficiency *= 0.5;
  CHECK(collective_time(CollectiveOp::all_gather, 1 * GiB, g, c).time / large == doctest::Approx(2).epsilon(0.1));
}

}  // namespace foretrain
