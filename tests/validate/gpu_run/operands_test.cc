/// What our launches read and write, against the bytes that the graph gives each kernel. Needs CUDA's libraries, no
/// GPU.
#include "validate/gpu/run/operands.h"

#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "validate/gpu/run/kernel_work.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {
constexpr WorkContext kContext{.head_dim = 128, .sequence_length = 512, .vocabulary = 32000};

Needs needs(MemoryOp op, bool backward, DType dtype = DType::bf16) {
  return needs_of(bind_memory_work(memory_kernel(op, backward, 8192, 5120, dtype), kContext));
}
double numbers(const Needs& n) {
  double sum = 0;
  for (std::size_t r = 0; r < 4; ++r) sum += static_cast<double>(n.bytes[r]);
  return sum;
}
}  // namespace

TEST_CASE("A launch reads and writes what the graph says its kernel moves, but for statistics of rows") {
  struct Case {
    MemoryOp op;
    bool backward;
  };
  for (const Case& c : {Case{MemoryOp::rms_norm, false},
                        Case{MemoryOp::rms_norm, true},
                        Case{MemoryOp::layer_norm, false},
                        Case{MemoryOp::layer_norm, true},
                        Case{MemoryOp::softmax, false},
                        Case{MemoryOp::softmax, true},
                        Case{MemoryOp::masked_softmax, false},
                        Case{MemoryOp::swiglu, false},
                        Case{MemoryOp::swiglu, true},
                        Case{MemoryOp::geglu, true},
                        Case{MemoryOp::gelu, false},
                        Case{MemoryOp::gelu, true},
                        Case{MemoryOp::relu, true},
                        Case{MemoryOp::bias_gelu, false},
                        Case{MemoryOp::add, false},
                        Case{MemoryOp::add, true},
                        Case{MemoryOp::bias_dropout_add, false},
                        Case{MemoryOp::bias_dropout_add, true},
                        Case{MemoryOp::dropout, false},
                        Case{MemoryOp::dropout, true},
                        Case{MemoryOp::rope, false},
                        Case{MemoryOp::rope, true},
                        Case{MemoryOp::copy, false},
                        Case{MemoryOp::transpose, false},
                        Case{MemoryOp::cast, false},
                        Case{MemoryOp::cast, true},
                        Case{MemoryOp::zero, false},
                        Case{MemoryOp::scale, false},
                        Case{MemoryOp::grad_norm, false}}) {
    CAPTURE(op_name(c.op));
    CAPTURE(c.backward);
    const MemoryKernel kernel = memory_kernel(c.op, c.backward, 8192, 5120, DType::bf16);
    const Needs n = needs(c.op, c.backward);
    if ((c.op == MemoryOp::rms_norm || c.op == MemoryOp::layer_norm) && c.backward) {
      // x and dy read once and dx written, where the graph reads them 1.5 times: the rest is a copy, out of x.
      const double rest = (kernel.read.base() + kernel.written.base()) / 4 / 2;
      CHECK(numbers(n) == doctest::Approx(kernel.read.base() * 2 / 3).epsilon(0.01));
      CHECK(static_cast<double>(n[Region::results]) == doctest::Approx(kernel.written.base() + rest).epsilon(0.01));
      continue;
    }
    CHECK(numbers(n) == doctest::Approx(kernel.read.base()).epsilon(0.01));
    CHECK(static_cast<double>(n[Region::results]) == doctest::Approx(kernel.written.base()).epsilon(0.01));
  }
}

TEST_CASE("Gradients of 16 bits are read, cleared and widened as such, although their sums are fp32") {
  // As fp16 training has them: 2 bytes a gradient, 4 once widened.
  const std::int64_t count = 1 << 20;
  const auto with_bytes = [&](MemoryOp op, std::int64_t read, std::int64_t written) {
    MemoryKernel k = memory_kernel(op, false, 1, count, DType::fp32);
    k.read = static_cast<double>(read * count) * bytes;
    k.written = static_cast<double>(written * count) * bytes;
    return needs_of(bind_memory_work(k, kContext));
  };
  const Needs norm = with_bytes(MemoryOp::grad_norm, 2, 0);
  CHECK(norm[Region::numbers_bf16] == 2 * count);
  CHECK(norm[Region::state] == 0);
  const Needs widened = with_bytes(MemoryOp::cast, 2, 4);
  CHECK(widened[Region::numbers_bf16] == 2 * count);
  CHECK(widened[Region::results] == 4 * count);
  CHECK(with_bytes(MemoryOp::zero, 0, 2)[Region::results] == 2 * count);
}

TEST_CASE("What 8-bit products add moves what the graph says: casts, two layouts, maxima first, norms that cast") {
  const std::int64_t rows = 4096, cols = 1024, count = rows * cols;
  struct Case {
    double read, written;  // bytes an element: the recipes of docs/models/quantisation.md
    std::int64_t from, to;
  };
  for (const Case& c : {Case{2, 1, 2, 1}, Case{2, 2, 2, 2}, Case{1, 1, 1, 1}, Case{4, 1, 2, 1}, Case{4, 2, 2, 2},
                        Case{2, 2.0625, 2, 2}, Case{6, 1.125, 2, 1}}) {
    CAPTURE(c.read);
    CAPTURE(c.written);
    MemoryKernel k = memory_kernel(MemoryOp::cast, false, rows, cols, DType::bf16);
    k.read = c.read * static_cast<double>(count) * bytes;
    k.written = c.written * static_cast<double>(count) * bytes;
    const Needs n = needs_of(bind_memory_work(k, kContext));
    CHECK(numbers(n) == c.from * count);  // read once, twice or three times
    CHECK(n[Region::results] == c.to * count);
  }
  MemoryKernel norm = memory_kernel(MemoryOp::rms_norm, false, rows, cols, DType::bf16);
  norm.written *= 0.5;
  CHECK(needs_of(bind_memory_work(norm, kContext))[Region::results] == count);
}

TEST_CASE("A ring's attention is its own causal part and a turn for each other rank, with the same FLOPs") {
  Attention a;
  a.seq_q = 4096;
  a.seq_kv = 16384;  // four context ranks
  const std::vector<Attention> turns = turns_of(a);
  REQUIRE(turns.size() == 4);
  Flops flops;
  for (const Attention& t : turns) {
    CHECK(t.seq_q == 4096);
    flops += flops_of(t);
  }
  CHECK(turns[0].causal);
  CHECK(turns[0].seq_kv == 4096);
  CHECK_FALSE(turns[3].causal);
  CHECK(turns[3].seq_kv == 2048);
  CHECK(flops.base() == doctest::Approx(flops_of(a).base()));
  a.seq_kv = a.seq_q;
  CHECK(turns_of(a) == std::vector{a});
  a.causal = false;
  a.seq_kv = 8192;  // an encoder's memory, say
  CHECK(turns_of(a) == std::vector{a});
}

TEST_CASE("Adam reads and writes 16 and 14 bytes a parameter") {
  const Needs n = needs(MemoryOp::adam, false);
  const std::int64_t count = 8192 * 5120;
  CHECK(n[Region::state] == 12 * count);  // gradient, master weight, first moment
  CHECK(n[Region::squares] == 4 * count);
  CHECK(n[Region::results] == 2 * count);
}

TEST_CASE("Embedding and loss know the vocabulary from the context, and take token ids") {
  const Needs forward = needs(MemoryOp::embedding, false);
  CHECK(forward[Region::tokens] == 8 * 8192);
  CHECK(forward[Region::numbers_bf16] == 2 * 32000 * 5120);
  CHECK(needs(MemoryOp::embedding, true)[Region::state] == 4 * 32000 * 5120);
  // The loss that a framework runs in many passes needs no more room than its logits and one result of their size.
  const Needs loss = needs(MemoryOp::cross_entropy, false);
  CHECK(loss[Region::numbers_bf16] == 2 * 8192 * 5120);
  CHECK(loss[Region::results] == 2 * 8192 * 5120);
}

TEST_CASE("Works walk through a region and begin anew at its end") {
  alignas(256) static unsigned char memory[4096];
  std::array<void*, kRegions> base{};
  base[static_cast<std::size_t>(Region::results)] = memory;
  Needs size, work;
  size[Region::results] = 2048;
  work[Region::results] = 768;
  Operands o(base, size);
  std::vector<std::int64_t> places;
  for (int i = 0; i < 4; ++i) {
    o.begin(work);
    places.push_back(static_cast<unsigned char*>(o.write(700)) - memory);
  }
  CHECK(places == std::vector<std::int64_t>{0, 768, 0, 768});  // 1536 + 768 is beyond 2048
}

TEST_CASE("A number format without kernels is refused") {
  CHECK_THROWS_AS(bind_memory_work(memory_kernel(MemoryOp::add, false, 8, 8, DType::fp4), kContext), SpecError);
}
