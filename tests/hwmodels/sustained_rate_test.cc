#include "hwmodels/sustained_rate.h"

#include <utility>

#include <doctest/doctest.h>

#include "hwmodels/catalogue.h"
#include "hwmodels/kernel_time.h"
#include "hwmodels/sm_share.h"

using namespace foretrain;

TEST_CASE("the slowest of n GPUs follows the order statistics of the normal distribution") {
  CHECK(slowest_of(1) == 1);
  // Expected largest of n standard normal numbers, tables of Harter 1961: n = 2: 0.5642, 8: 1.4236, 100: 2.5076,
  // 1000: 3.2414.
  CHECK(slowest_of(2) == doctest::Approx(1 + 0.015 * 0.5642).epsilon(0.001));
  CHECK(slowest_of(8) == doctest::Approx(1 + 0.015 * 1.4236).epsilon(0.001));
  CHECK(slowest_of(100) == doctest::Approx(1 + 0.015 * 2.5076).epsilon(0.001));
  CHECK(slowest_of(1000) == doctest::Approx(1 + 0.015 * 3.2414).epsilon(0.001));
}

TEST_CASE("a collective holds one SM for each of its channels") {
  // What NCCL 2.28.9 logs (NCCL_DEBUG=INFO): coll, nvls and p2p channels of DGX-1, DGX A100, H100 and B200 on one node,
  // and over nodes.
  const Catalogue catalogue = Catalogue::load();
  const auto blocks = [&](const char* node, std::int64_t nodes, std::int64_t per_node, NcclAlgorithm a,
                          CollectiveOp op = CollectiveOp::all_reduce) {
    return nccl_blocks(op, a, {.ranks = nodes * per_node, .ranks_per_node = per_node}, catalogue.node(node, "test"));
  };
  using A = NcclAlgorithm;
  CHECK(blocks("dgx-1-v100", 1, 8, A::ring) == 12);
  CHECK(blocks("dgx-a100", 1, 8, A::ring) == 24);
  CHECK(blocks("dgx-a100", 2, 8, A::tree) == 16);
  CHECK(blocks("dgx-h100", 1, 8, A::ring) == 24);
  CHECK(blocks("dgx-h100", 1, 8, A::nvls) == 16);
  CHECK(blocks("dgx-h100", 2, 8, A::nvls_tree) == 16);
  CHECK(blocks("dgx-b200", 1, 8, A::ring) == 32);
  CHECK(blocks("dgx-b200", 1, 8, A::nvls) == 24);
  CHECK(blocks("dgx-b200", 2, 8, A::nvls_tree) == 32);
  CHECK(blocks("alcf-polaris", 8, 4, A::ring) == 4);  // two NICs
  // A data-parallel ring of one GPU a node has one NIC: two channels, four from Hopper on.
  const auto channels = [&](const char* node) {
    return nccl_channels({.ranks = 16, .ranks_per_node = 1}, catalogue.node(node, "test"));
  };
  CHECK(channels("dgx-a100") == 2);
  CHECK(channels("dgx-h100") == 4);
  CHECK(blocks("dgx-h100", 16, 1, A::ring) == 16);  // what kernels beside it lose: as beside groups of whole nodes
  // To a peer: 32 through NVSwitches, 8 on Polaris' mesh (4 links), 2 over the network.
  CHECK(blocks("dgx-h100", 1, 8, A::p2p, CollectiveOp::send_recv) == 32);
  CHECK(blocks("alcf-polaris", 1, 4, A::p2p, CollectiveOp::send_recv) == 8);
  CHECK(blocks("dgx-h100", 2, 1, A::p2p, CollectiveOp::send_recv) == 2);
  CHECK(blocks("dgx-h100", 1, 1, A::ring) == 0);
  GpuSpec gpu;
  gpu.sm_count = 108;
  CHECK(sm_share(24, gpu) == doctest::Approx(24.0 / 108));
  CHECK(sm_share(0, gpu) == 0);
}

TEST_CASE("rows off the 128-byte line slow a matrix multiplication, by the same factor for each halving") {
  GpuSpec gpu;
  gpu.vendor = "NVIDIA";
  gpu.architecture = "Ampere";
  gpu.compute_capability = 80;
  gpu.peak[static_cast<std::size_t>(DType::bf16)] = 300 * TFLOP_per_s;
  gpu.memory_bandwidth = 2000 * GB_per_s;
  gpu.sm_count = 100;
  EfficiencySpec e;
  e.gemm.fixed = {};
  e.gemm.wave_overlap = 1;  // no step from a wave more or less
  const auto rate = [&](std::int64_t n, std::int64_t k) {
    const Gemm g{.m = 1 << 15, .n = n, .k = k};
    return flops_of(Kernel{g}) / kernel_time(g, gpu, e).time;
  };
  // 8192 + 64 bf16 elements are 129 lines; + 32: half a line over; + 8: 16 bytes over; + 4: 8 bytes, no wide copies.
  const double aligned = rate(8192, 8192 + 64).base();
  CHECK(rate(8192, 8192 + 32).base() / aligned == doctest::Approx(0.82).epsilon(0.01));
  CHECK(rate(8192, 8192 + 8).base() / aligned == doctest::Approx(0.82 * 0.82 * 0.82).epsilon(0.01));
  CHECK(rate(8192, 8192 + 4).base() / aligned == doctest::Approx(0.82 * 0.82 * 0.82 * 0.82 * 0.82).epsilon(0.01));
  CHECK(rate(8192, 32) / rate(8192, 64) > 0.4);  // a power of two packs whole lines
  gpu.compute_capability = 70;                   // Volta's kernels show none of it
  CHECK(rate(8192, 8192 + 4).base() / aligned > 0.99);
}

TEST_CASE("clocks fall over long runs where that was measured, by format, and not twice") {
  GpuSpec hopper, ampere;
  hopper.architecture = "Hopper";
  hopper.compute_capability = 90;
  hopper.peak.fill(1000 * TFLOP_per_s);
  ampere.architecture = "Ampere";
  const EfficiencySpec e;
  const auto rate = [&](const GpuSpec& gpu, DType format, bool at_length = false) {
    return sustained_rate(gpu, e, format, at_length);
  };
  // 16384^3 in bf16: (697 / 797 + 720 / 791) / 2; fp8 of 50 ms: (1382 / 1442 + 1350 / 1487) / 2.
  CHECK(rate(hopper, DType::bf16) == doctest::Approx((697.0 / 797 + 720.0 / 791) / 2).epsilon(0.005));
  CHECK(rate(hopper, DType::fp16) == rate(hopper, DType::bf16));
  CHECK(rate(hopper, DType::fp8) == doctest::Approx((1382.0 / 1442 + 1350.0 / 1487) / 2).epsilon(0.005));
  CHECK(rate(hopper, DType::bf16, true) == 1);
  CHECK(long_run_rate(hopper, e, Attention{}, false) == doctest::Approx((0.93 + 0.956) / 2).epsilon(0.005));
  CHECK(long_run_rate(hopper, e, MemoryKernel{}, false) == 1);
  // What being inside a model costs stays; alone, length costs nothing.
  CHECK(rate(ampere, DType::bf16, true) == rate(ampere, DType::bf16));
  CHECK(long_run_rate(ampere, e, Gemm{}, false) == 1);
}

TEST_CASE("a Blackwell GPU sustains what its power pays for") {
  // The four measurements that the law goes through, TFLOP/s; docs of blackwell_power_rate.
  for (const auto& [watts, tflops] : {std::pair{500.0, 617.0}, {750.0, 945.0}, {1000.0, 1110.0}, {1400.0, 1600.0}})
    CHECK(blackwell_power_rate(watts) / TFLOP_per_s == doctest::Approx(tflops).epsilon(0.06));

  GpuSpec b200;
  b200.architecture = "Blackwell";
  b200.compute_capability = 100;
  b200.tdp_watts = 1000;
  b200.peak[static_cast<std::size_t>(DType::bf16)] = 2250 * TFLOP_per_s;
  b200.peak[static_cast<std::size_t>(DType::fp8)] = 4500 * TFLOP_per_s;
  EfficiencySpec e;
  e.gemm.sustained.fill(0.7);
  // 1166 of 0.7 x 2250 = 1575 TFLOP/s; in fp8 2.33 x 1166 of 0.7 x 4500 = 3150.
  CHECK(sustained_rate(b200, e, DType::bf16, false) == doctest::Approx(1166.0 / 1575));
  CHECK(sustained_rate(b200, e, DType::fp8, false) == doctest::Approx(2.33 * 1166 / 3150));
  CHECK(long_run_rate(b200, e, Attention{}, false) == doctest::Approx(1237.0 / 1450));
  // With power to spare it falls as Hopper does, and kernels that are slower to begin with fall no further.
  b200.tdp_watts = 2000;
  CHECK(sustained_rate(b200, e, DType::bf16, false) == 0.89);
  b200.tdp_watts = 1000;
  e.gemm.sustained.fill(0.5);
  CHECK(sustained_rate(b200, e, DType::bf16, false) == 0.89);
  b200.compute_capability = 120;  // RTX PRO 6000: long rows are no slower
  CHECK(sustained_rate(b200, e, DType::bf16, false) == 1);
}
