/// What our launches read and write, against the bytes that the graph gives each kernel. Needs CUDA's libraries, no
/// GPU.
#include "validate/gpu/run/operands.h"

#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "validate/gpu/run/memory_work.h"

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
                        Case{MemoryOp::layer_norm, false},
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
    CHECK(numbers(n) == doctest::Approx(kernel.read.base()).epsilon(0.01));
    CHECK(static_cast<double>(n[Region::results]) == doctest::Approx(kernel.written.base()).epsilon(0.01));
  }
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
