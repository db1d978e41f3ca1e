#include "hwmodels/kernel_json.h"

#include <doctest/doctest.h>

using namespace foretrain;

namespace {
Kernel read(const char* text) { return read_kernel(SpecNode::parse(text, "k.json")); }
}  // namespace

TEST_CASE("a kernel is the same after JSON and back") {
  const Gemm wgrad{.batch = 2,
                   .m = 8192,
                   .n = 10240,
                   .k = 4096,
                   .dtype = DType::bf16,
                   .output = DType::fp32,
                   .accumulate = true,
                   .layout = GemmLayout::nt};
  const Attention backward{.batch = 1,
                           .seq_q = 8192,
                           .seq_kv = 4096,
                           .heads_q = 32,
                           .heads_kv = 8,
                           .d_qk = 192,
                           .d_v = 128,
                           .causal = false,
                           .backward = true};
  MemoryKernel odd = memory_kernel(MemoryOp::swiglu, true, 4096, 14336, DType::bf16);
  odd.read = 123456789 * bytes;
  odd.vectorised = false;
  for (const Kernel& kernel : {Kernel(wgrad), Kernel(backward), Kernel(odd)})
    CHECK(read(kernel_json(kernel).c_str()) == kernel);
}

TEST_CASE("what a kernel's JSON leaves out has the usual value") {
  const auto gemm = std::get<Gemm>(read(R"({"kind": "gemm", "m": 2, "n": 3, "k": 4, "dtype": "fp8", "id": 7})"));
  CHECK(gemm == Gemm{.m = 2, .n = 3, .k = 4, .dtype = DType::fp8, .output = DType::bf16});
  const auto attention = std::get<Attention>(read(R"({"kind": "attention", "seq_q": 64, "heads_q": 8, "d_qk": 64})"));
  CHECK(attention == Attention{.seq_q = 64, .seq_kv = 64, .heads_q = 8, .heads_kv = 8, .d_qk = 64, .d_v = 64});
  // rms_norm forward reads and writes each of 4 x 8 two-byte elements once.
  const auto norm = std::get<MemoryKernel>(read(R"({"kind": "memory", "op": "rms_norm", "rows": 4, "cols": 8})"));
  CHECK(norm.read.base() == 64);
  CHECK(norm.written.base() == 64);
}

TEST_CASE("JSON that names no kernel is refused with its place") {
  CHECK_THROWS_WITH_AS(read(R"({"kind": "gem", "m": 1})"), doctest::Contains("k.json:/kind"), SpecError);
  CHECK_THROWS_WITH_AS(read(R"({"kind": "gemm", "m": 0, "n": 1, "k": 1})"), doctest::Contains("k.json:/m"), SpecError);
  CHECK_THROWS_WITH_AS(read(R"({"kind": "gemm", "m": 1, "n": 1})"), doctest::Contains("k"), SpecError);
  CHECK_THROWS_AS(read("[]"), SpecError);
}
