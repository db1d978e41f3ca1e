#include "hwmodels/kernel_time.h"

#include <cmath>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "hwmodels/catalogue.h"

using namespace foretrain;

namespace {

/// 100 SMs of 1 TFLOP/s each, 1 TB/s; every efficiency 1 and every overhead 0, so that times can be worked out by hand.
GpuSpec plain_gpu() {
  GpuSpec gpu;
  gpu.name = "plain";
  gpu.vendor = "NVIDIA";
  gpu.architecture = "Ampere";
  gpu.compute_capability = 80;
  gpu.peak[static_cast<std::size_t>(DType::bf16)] = 100 * TFLOP_per_s;
  gpu.memory_bandwidth = 1000 * GB_per_s;
  gpu.sm_count = 100;
  gpu.boost_clock = 1000 * MHz;
  return gpu;
}

EfficiencySpec ideal() {
  EfficiencySpec e;
  e.gemm.sustained.fill(1);
  e.gemm.headroom = 1;
  e.gemm.loop_start = 0;
  e.gemm.tile_half = 0;
  e.gemm.wave_overlap = 0;
  e.gemm.memory = 1;
  e.gemm.transposed = 1;
  e.gemm.fixed = {};
  e.attention.forward = e.attention.backward = 1;
  e.attention.softmax = 0;
  e.attention.block_start = 0;
  e.attention.wave_overlap = 0;
  e.attention.fixed = {};
  e.memory = {.bandwidth = 1, .scalar = 0.5, .cached = 1, .fixed = {}};
  return e;
}

double us(KernelTime t) { return t.time / microseconds; }

}  // namespace

TEST_CASE("a GEMM whose tiles fill every SM takes its operations over the peak") {
  // 100 tiles of 256 x 128 on 100 SMs: m = 2560, n = 1280. 2*2560*1280*8192 / 100 TFLOP/s = 536.870912 us
  const Gemm g{.m = 2560, .n = 1280, .k = 8192};
  CHECK(us(kernel_time(g, plain_gpu(), ideal())) == doctest::Approx(536.870912));
  CHECK(kernel_time(g, plain_gpu(), ideal()).bound == KernelBound::tensor_core);
}

TEST_CASE("a last wave that is almost empty costs a whole wave") {
  // 101 batches of one 64 x 32 tile (the smallest there is): two waves, the time of 2 tiles on one SM of 1 TFLOP/s.
  // 2 * (2*64*32*65536) / 1e12 = 536.87 us; the bytes, 101 * (96*65536 + 2048) * 2 / 1 TB/s, would take 1271.5 us: lift
  // the bandwidth.
  GpuSpec gpu = plain_gpu();
  gpu.memory_bandwidth = 1e6 * GB_per_s;
  const Gemm g{.batch = 101, .m = 64, .n = 32, .k = 65536};
  CHECK(us(kernel_time(g, gpu, ideal())) == doctest::Approx(536.870912));
  // One batch less is one wave: half.
  const Gemm full{.batch = 100, .m = 64, .n = 32, .k = 65536};
  CHECK(us(kernel_time(full, gpu, ideal())) == doctest::Approx(268.435456));
  // With all of the idle part filled, 101 tiles take 101/100 of a wave.
  EfficiencySpec e = ideal();
  e.gemm.wave_overlap = 1;
  CHECK(us(kernel_time(g, gpu, e)) == doctest::Approx(268.435456 * 1.01));
}

TEST_CASE("a chip under its power ceiling runs its SMs faster, but never beyond the ceiling") {
  GpuSpec gpu = plain_gpu();
  gpu.memory_bandwidth = 1e6 * GB_per_s;
  EfficiencySpec e = ideal();
  e.gemm.sustained.fill(0.5);
  e.gemm.headroom = 1.25;
  // All SMs busy: the ceiling of 50 TFLOP/s.
  const Gemm full{.batch = 100, .m = 64, .n = 32, .k = 65536};
  CHECK(us(kernel_time(full, gpu, e)) == doctest::Approx(2 * 268.435456));
  // One SM busy: 1 TFLOP/s * 0.5 * 1.25.
  const Gemm one{.batch = 1, .m = 64, .n = 32, .k = 512};
  CHECK(us(kernel_time(one, gpu, e)) == doctest::Approx(2.0 * 64 * 32 * 512 / (0.625e12) * 1e6));
}

TEST_CASE("a GEMM with one row is bound by memory") {
  // A weight matrix of 8192 x 8192 in bf16 is 134.217728 MB, and 32 KB of vectors: 134.25 us at 1 TB/s
  const KernelTime t = kernel_time(Gemm{.m = 1, .n = 8192, .k = 8192}, plain_gpu(), ideal());
  CHECK(us(t) == doctest::Approx((134217728 + 2 * 16384) / 1e6));
  CHECK(t.bound == KernelBound::memory);
}

TEST_CASE("a tiny GEMM takes the fixed time") {
  EfficiencySpec e = ideal();
  e.gemm.fixed = 4 * microseconds;
  const KernelTime t = kernel_time(Gemm{.m = 16, .n = 16, .k = 16}, plain_gpu(), e);
  CHECK(us(t) == doctest::Approx(4).epsilon(0.05));
  CHECK(t.bound == KernelBound::latency);
}

TEST_CASE("long non-causal attention takes its operations over the peak; a backward pass two and a half times that") {
  // 100 heads of 128 queries: one block of queries on each SM, 8192 keys. 2*128*8192*256 / 1 TFLOP/s = 536.87 us
  Attention a{.batch = 1,
              .seq_q = 128,
              .seq_kv = 8192,
              .heads_q = 100,
              .heads_kv = 1,
              .d_qk = 128,
              .d_v = 128,
              .causal = false};
  CHECK(us(kernel_time(a, plain_gpu(), ideal())) == doctest::Approx(536.870912));
  a.backward = true;
  CHECK(us(kernel_time(a, plain_gpu(), ideal())) == doctest::Approx(2.5 * 536.870912));
}

TEST_CASE("exponentials that nothing hides are paid at 16 a clock and SM") {
  EfficiencySpec e = ideal();
  e.attention.softmax = 1;
  // 128 * 8192 scores an SM / (16 * 1 GHz) = 65.536 us more
  const Attention a{.batch = 1, .seq_q = 128, .seq_kv = 8192, .heads_q = 100, .heads_kv = 1, .causal = false};
  CHECK(us(kernel_time(a, plain_gpu(), e)) == doctest::Approx(536.870912 + 65.536));
}

TEST_CASE("causal attention does half the blocks and the diagonal") {
  // 64 blocks of queries: mean keys 8192/2 * (1 + 1/64). 100 heads * 64 blocks / 100 SMs = 64 whole waves.
  const Attention a{.batch = 1, .seq_q = 8192, .seq_kv = 8192, .heads_q = 100, .heads_kv = 1, .causal = true};
  CHECK(us(kernel_time(a, plain_gpu(), ideal())) == doctest::Approx(64 * 0.5 * (1 + 1.0 / 64) * 536.870912));
}

TEST_CASE("one head of attention cannot use more SMs than it has blocks of queries, so its blocks get smaller") {
  // 16 blocks of 64 queries on 100 SMs: the last, which sees all 1024 keys, sets the time: 1.15 * 2*64*1024*256 / 1
  // TFLOP/s. With blocks of 128 it would be 67.1 us.
  const Attention a{.batch = 1, .seq_q = 1024, .seq_kv = 1024, .heads_q = 1, .heads_kv = 1, .causal = true};
  CHECK(us(kernel_time(a, plain_gpu(), ideal())) == doctest::Approx(1.15 * 2.0 * 64 * 1024 * 256 / 1e12 * 1e6));
}

TEST_CASE("a memory-bound kernel takes its bytes over the bandwidth, and half the rate when its loads are narrow") {
  MemoryKernel k = memory_kernel(MemoryOp::add, false, 8192, 8192, DType::bf16);  // 6 * 2^26 B = 402.653184 MB
  CHECK(us(kernel_time(k, plain_gpu(), ideal())) == doctest::Approx(402.653184));
  k.vectorised = false;
  CHECK(us(kernel_time(k, plain_gpu(), ideal())) == doctest::Approx(2 * 402.653184));
}

TEST_CASE("what fits in L2 streams faster, what does not hardly") {
  GpuSpec gpu = plain_gpu();
  gpu.l2_cache = 60 * MB;
  EfficiencySpec e = ideal();
  e.memory.cached = 2;
  // 60 MB in 60 MB: half of it is held, 1.5 times the bandwidth; ten times that: 1/101 held.
  const MemoryKernel fits = memory_kernel(MemoryOp::add, false, 1000, 10000, DType::bf16);
  CHECK(us(kernel_time(fits, gpu, e)) == doctest::Approx(60.0 / 1.5));
  const MemoryKernel streams = memory_kernel(MemoryOp::add, false, 10000, 10000, DType::bf16);
  CHECK(us(kernel_time(streams, gpu, e)) == doctest::Approx(600.0 / (1 + 1.0 / 101)));
}

TEST_CASE("a format that the GPU lacks is refused by name") {
  Gemm g;
  g.dtype = DType::fp8;
  CHECK_THROWS_WITH_AS(kernel_time(g, plain_gpu(), ideal()), doctest::Contains("fp8"), SpecError);
}

TEST_CASE("on every GPU of the catalogue times are finite, positive and grow with the work") {
  const Catalogue catalogue = Catalogue::load();
  for (const GpuSpec& gpu : catalogue.gpus()) {
    CAPTURE(gpu.name);
    const EfficiencySpec& e = catalogue.efficiency(gpu);
    for (std::size_t t = 0; t < kDTypeNames.size(); ++t) {
      const DType dtype = static_cast<DType>(t);
      if (!peak(gpu, dtype)) continue;
      CAPTURE(kDTypeNames[t]);
      double last = 0;
      for (std::int64_t k = 64; k <= 65536; k *= 4) {
        const double time =
            us(kernel_time(Gemm{.m = 4096, .n = 4096, .k = k, .dtype = dtype, .output = dtype}, gpu, e));
        CHECK(std::isfinite(time));
        CHECK(time > last);
        // Never beyond the data sheet by more than the tenth that boost clocks allow.
        CHECK(2.0 * 4096 * 4096 * static_cast<double>(k) / (time * 1e-6) < 1.1 * peak(gpu, dtype)->base());
        last = time;
      }
      if (dtype == DType::fp32 || dtype == DType::tf32 || dtype == DType::fp4) continue;
      for (const std::int64_t d : {64, 80, 96, 128, 192, 256}) {
        for (const bool backward : {false, true}) {
          last = 0;
          for (std::int64_t s = 128; s <= 131072; s *= 8) {
            const Attention a{.batch = 1,
                              .seq_q = s,
                              .seq_kv = s,
                              .heads_q = 8,
                              .heads_kv = 1,
                              .d_qk = d,
                              .d_v = d,
                              .backward = backward,
                              .dtype = dtype};
            const double time = us(kernel_time(a, gpu, e));
            CHECK(std::isfinite(time));
            CHECK(time > last);
            CHECK(flops_of(Kernel{a}).base() / (time * 1e-6) < peak(gpu, dtype)->base());
            last = time;
          }
        }
      }
    }
    const MemoryKernel k = memory_kernel(MemoryOp::copy, false, 1 << 15, 1 << 15, DType::fp16);
    const double rate = bytes_of(Kernel{k}).base() / kernel_time(k, gpu, e).time.base();
    CHECK(rate < gpu.memory_bandwidth.base());
    CHECK(rate > 0.5 * gpu.memory_bandwidth.base());
  }
}
