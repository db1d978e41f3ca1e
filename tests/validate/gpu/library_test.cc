/// cuBLASLt and cuDNN as we call them, against the CPU references.
#include <array>
#include <cmath>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "tests/validate/gpu/device_values.h"
#include "validate/gpu/library/attention.h"
#include "validate/gpu/library/gemm.h"
#include "validate/reference/attention.h"
#include "validate/reference/gemm.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

Storage storage_of(DType type) {
  switch (type) {
    case DType::bf16:
      return Storage::bf16;
    case DType::fp16:
      return Storage::fp16;
    case DType::fp8:
      return Storage::e4m3;
    default:
      return Storage::fp32;
  }
}

struct Sizes {
  std::int64_t batch, m, n, k;
};

void check_gemm(GemmLibrary& library, const Gemm& g) {
  CAPTURE(text_of(g));
  const Values a = random_in(storage_of(g.dtype), g.batch * g.m * g.k, 1);
  const Values b = random_in(storage_of(g.dtype), g.batch * g.k * g.n, 2);
  const Values before = random_in(storage_of(g.output), g.batch * g.m * g.n, 3);
  const Tensor device_a(a, storage_of(g.dtype)), device_b(b, storage_of(g.dtype));
  const Tensor c(before, storage_of(g.output)), scale_a(Values{0.5}, Storage::fp32), scale_b(Values{4}, Storage::fp32);
  const GemmPlan plan = library.plan(g);
  const Device workspace(plan.workspace_bytes() + 256);
  plan.run({device_a.pointer(), device_b.pointer(), c.pointer(), scale_a.floats(), scale_b.floats()},
           workspace.as<void>(), nullptr);
  const bool as_tn = g.layout == GemmLayout::tn || g.dtype == DType::fp8;
  const reference::GemmShape shape{.pass = as_tn                        ? reference::LinearPass::forward
                                           : g.layout == GemmLayout::nn ? reference::LinearPass::input_gradient
                                                                        : reference::LinearPass::weight_gradient,
                                   .batch = g.batch,
                                   .m = g.m,
                                   .n = g.n,
                                   .k = g.k};
  Values want = reference::gemm(shape, a, b);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (g.dtype == DType::fp8) want[i] *= 2;  // scales 0.5 and 4
    if (g.accumulate) want[i] += before[i];
  }
  // k fp32 sums of products below 1: k roundings of at most k in the worst order, sqrt(k) of each typically. Tensor
  // cores keep fewer bits of an 8-bit product's sum (13, with fast accumulation) and round tf32's inputs to 10 bits.
  const double k = static_cast<double>(g.k);
  double steps = 4 * std::sqrt(k);
  if (g.dtype == DType::tf32) steps = 4 * 0x1p13;  // two inputs of error 2^-11 each, sqrt(k) of them over sqrt(k)
  if (g.dtype == DType::fp8) steps = 8 * 0x1p11;
  check_close(c.values(), want, storage_of(g.output), steps, 4 * std::sqrt(k));
}

}  // namespace

TEST_CASE("GEMM in every layout, format and output, batched and accumulated") {
  GemmLibrary library;
  for (const Sizes& s :
       {Sizes{1, 128, 256, 512}, Sizes{1, 72, 40, 200}, Sizes{3, 64, 96, 128}, Sizes{1, 16, 4096, 64}}) {
    for (const GemmLayout layout : {GemmLayout::tn, GemmLayout::nn, GemmLayout::nt}) {
      for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32, DType::tf32}) {
        for (const bool wide : {false, true}) {
          for (const bool accumulate : {false, true}) {
            const DType narrow = dtype == DType::tf32 ? DType::fp32 : dtype;
            check_gemm(library, {.batch = s.batch,
                                 .m = s.m,
                                 .n = s.n,
                                 .k = s.k,
                                 .dtype = dtype,
                                 .output = wide ? DType::fp32 : narrow,
                                 .accumulate = accumulate,
                                 .layout = layout});
          }
        }
      }
    }
  }
}

TEST_CASE("GEMM in 8 bits with scales, where the GPU has it") {
  int major = 0, minor = 0;
  require_success(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  require_success(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
  GemmLibrary library;
  const Gemm gemm{.m = 128, .n = 256, .k = 512, .dtype = DType::fp8, .output = DType::bf16};
  if (10 * major + minor < 89) {
    CHECK_THROWS_AS(library.plan(gemm), SpecError);
    return;
  }
  for (const GemmLayout layout : {GemmLayout::tn, GemmLayout::nn, GemmLayout::nt}) {
    Gemm g = gemm;
    g.layout = layout;
    check_gemm(library, g);
  }
}

TEST_CASE("Products that cuBLASLt has not are refused by name, and a plan is made once") {
  GemmLibrary library;
  CHECK_THROWS_AS(library.plan({.m = 8, .n = 8, .k = 8, .dtype = DType::fp4}), SpecError);
  CHECK_THROWS_AS(library.plan({.m = 8, .n = 8, .k = 8, .dtype = DType::bf16, .output = DType::fp16}), SpecError);
  CHECK_THROWS_AS(library.plan({.m = 0, .n = 8, .k = 8}), SpecError);
}

TEST_CASE("Attention forward and backward: causal and not, MHA, GQA and MQA, odd lengths") {
  AttentionLibrary library;
  struct Case {
    std::int64_t batch, sequence, heads_q, heads_kv, d;
  };
  for (const Case& c : {Case{1, 256, 4, 4, 128}, Case{2, 128, 4, 2, 64}, Case{1, 333, 6, 1, 128}}) {
    for (const DType dtype : {DType::bf16, DType::fp16}) {
      for (const bool causal : {true, false}) {
        const Attention forward{.batch = c.batch,
                                .seq_q = c.sequence,
                                .seq_kv = c.sequence,
                                .heads_q = c.heads_q,
                                .heads_kv = c.heads_kv,
                                .d_qk = c.d,
                                .d_v = c.d,
                                .causal = causal,
                                .dtype = dtype};
        Attention backward = forward;
        backward.backward = true;
        CAPTURE(c.sequence);
        CAPTURE(c.heads_kv);
        CAPTURE(causal);
        const Storage storage = storage_of(dtype);
        const std::int64_t queries = c.batch * c.sequence * c.heads_q, keys = c.batch * c.sequence * c.heads_kv;
        const Values q = random_in(storage, queries * c.d, 1), k = random_in(storage, keys * c.d, 2);
        const Values v = random_in(storage, keys * c.d, 3), dout = random_in(storage, queries * c.d, 4);
        const Tensor device_q(q, storage), device_k(k, storage), device_v(v, storage), device_dout(dout, storage);
        const Tensor out(queries * c.d, storage), statistics(queries, Storage::fp32);
        const Tensor dq(queries * c.d, storage), dk(keys * c.d, storage), dv(keys * c.d, storage);
        const AttentionMemory memory{device_q.pointer(), device_k.pointer(),  device_v.pointer(),
                                     out.pointer(),      statistics.floats(), device_dout.pointer(),
                                     dq.pointer(),       dk.pointer(),        dv.pointer()};
        for (const Attention& pass : {forward, backward}) {
          const auto plan = library.plan(pass);
          const Device workspace(plan->workspace_bytes() + 256);
          plan->run(memory, workspace.as<void>(), nullptr);
          require_success(cudaDeviceSynchronize());
        }
        const reference::AttentionShape shape{.batch = c.batch,
                                              .seq_q = c.sequence,
                                              .seq_kv = c.sequence,
                                              .heads_q = c.heads_q,
                                              .heads_kv = c.heads_kv,
                                              .d_qk = c.d,
                                              .d_v = c.d,
                                              .causal = causal,
                                              .scale = 1 / std::sqrt(static_cast<double>(c.d))};
        reference::AttentionResult want = reference::attention(shape, q, k, v);
        check_close(statistics.values(), want.log_sum_exp, Storage::fp32, 256, 8);
        // Probabilities are rounded to the storage before they meet v: one rounding of numbers that sum to 1.
        const double rounding = format_of(storage).unit_roundoff() * 0x1p24;
        check_close(out.values(), want.out, storage, 2 * rounding, 1);
        want.out = out.values();  // backward starts from what forward gave
        const reference::AttentionGradient gradient = reference::attention_backward(shape, q, k, v, want, dout);
        // dv sums seq * heads_q / heads_kv rounded probabilities of dout below 1; dS, rounded likewise, is below
        // sqrt(d) and meets q and k. Random signs leave the square root of the number of terms.
        const double terms = std::sqrt(static_cast<double>(c.sequence * c.heads_q / c.heads_kv));
        check_close(dv.values(), gradient.dv, storage, 2 * rounding, terms);
        check_close(dq.values(), gradient.dq, storage, 4 * rounding, 1);
        check_close(dk.values(), gradient.dk, storage, 4 * rounding, terms);
      }
    }
  }
}
