#include "hwmodels/kernel.h"

#include <doctest/doctest.h>

using namespace foretrain;

TEST_CASE("a GEMM has 2 m n k floating-point operations, and each operand and the result move once") {
  const Gemm g{.m = 4096, .n = 1024, .k = 512};
  // 2 * 4096 * 1024 * 512 = 4,294,967,296
  CHECK(flops_of(Kernel{g}) / flops == 4294967296.0);
  // (4096*512 + 512*1024 + 4096*1024) * 2 B = (2,097,152 + 524,288 + 4,194,304) * 2 = 13,631,488
  CHECK(bytes_of(Kernel{g}) / bytes == 13631488.0);
}

TEST_CASE("a weight gradient accumulated in fp32 reads and writes its result in four bytes") {
  Gemm g{.m = 100, .n = 100, .k = 10};
  g.output = DType::fp32;
  g.accumulate = true;
  // operands (1000 + 1000) * 2 B, result 10,000 * 4 B * 2
  CHECK(bytes_of(Kernel{g}) / bytes == 4000.0 + 80000.0);
}

TEST_CASE("a batched GEMM is its parts' sum") {
  const Gemm one{.m = 128, .n = 256, .k = 64};
  Gemm many = one;
  many.batch = 12;
  CHECK(flops_of(Kernel{many}) / flops == 12 * (flops_of(Kernel{one}) / flops));
  CHECK(bytes_of(Kernel{many}) / bytes == 12 * (bytes_of(Kernel{one}) / bytes));
}

TEST_CASE("attention: two products forward, five backward, half of each when causal") {
  Attention a{
      .batch = 2, .seq_q = 1024, .seq_kv = 1024, .heads_q = 8, .heads_kv = 8, .d_qk = 128, .d_v = 128, .causal = false};
  // 2 * 2*8*1024*1024 * 256 = 8,589,934,592
  CHECK(flops_of(Kernel{a}) / flops == 8589934592.0);
  a.causal = true;
  CHECK(flops_of(Kernel{a}) / flops == 4294967296.0);
  a.backward = true;
  CHECK(flops_of(Kernel{a}) / flops == 2.5 * 4294967296.0);
}

TEST_CASE("grouped-query attention moves fewer keys and values, with the same floating-point operations") {
  Attention mha{.batch = 1, .seq_q = 2048, .seq_kv = 2048, .heads_q = 32, .heads_kv = 32};
  Attention gqa = mha;
  gqa.heads_kv = 8;
  CHECK(flops_of(Kernel{gqa}) / flops == flops_of(Kernel{mha}) / flops);
  // q, o: 2 * 2048*32*128*2 B = 33,554,432 each way together; k, v: the same with 32 heads, a quarter with 8
  CHECK(bytes_of(Kernel{mha}) / bytes == 67108864.0);
  CHECK(bytes_of(Kernel{gqa}) / bytes == 33554432.0 + 8388608.0);
}

TEST_CASE("bytes of memory-bound kernels follow from what they read and write") {
  const auto moved = [](MemoryOp op, bool backward, DType t) {
    const MemoryKernel k = memory_kernel(op, backward, 1000, 100, t);
    return (k.read + k.written) / bytes / 1e5;  // bytes an element
  };
  CHECK(moved(MemoryOp::rms_norm, false, DType::bf16) == doctest::Approx(4));  // x in, y out
  CHECK(moved(MemoryOp::swiglu, false, DType::bf16) == doctest::Approx(6));    // gate, up in; y out
  CHECK(moved(MemoryOp::swiglu, true, DType::bf16) == doctest::Approx(10));    // gate, up, dy in; both gradients out
  CHECK(moved(MemoryOp::add, false, DType::fp16) == doctest::Approx(6));       // two in, one out
  CHECK(moved(MemoryOp::dropout, false, DType::bf16) == doctest::Approx(5));   // x in; y and a byte of mask out
  CHECK(moved(MemoryOp::cast, false, DType::bf16) == doctest::Approx(6));      // 2 B in, 4 B out
  // fp32 gradient, master, two moments in (16 B); master, moments out (12 B) and the bf16 copy (2 B)
  CHECK(moved(MemoryOp::adam, false, DType::bf16) == doctest::Approx(30));
  CHECK(moved(MemoryOp::zero, false, DType::fp32) == doctest::Approx(4));
}

TEST_CASE("an empty tensor moves nothing") {
  const MemoryKernel k = memory_kernel(MemoryOp::copy, false, 0, 4096, DType::bf16);
  CHECK(bytes_of(Kernel{k}) / bytes == 0);
  CHECK(flops_of(Kernel{k}) / flops == 0);
}

TEST_CASE("every memory-bound operation has a name of its own") {
  for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) {
    CHECK_FALSE(op_name(static_cast<MemoryOp>(i)).empty());
    for (int j = 0; j < i; ++j) CHECK(op_name(static_cast<MemoryOp>(i)) != op_name(static_cast<MemoryOp>(j)));
  }
  CHECK(op_name(MemoryOp::cross_entropy) == "cross_entropy");
}
