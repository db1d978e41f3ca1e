// Our kernels and the libraries, as steps launch them, against the references on the CPU.
#include <cmath>

#include "base/spec_error.h"
#include "validate/gpu/run/bound_work.h"
#include "validate/reference/activation.h"
#include "validate/reference/adam.h"
#include "validate/reference/attention.h"
#include "validate/reference/cross_entropy.h"
#include "validate/reference/elementwise.h"
#include "validate/reference/embedding.h"
#include "validate/reference/gemm.h"
#include "validate/reference/norm.h"
#include "validate/reference/rope.h"
#include "validate/reference/softmax.h"

namespace foretrain::gpu {
namespace {

using reference::Values;

constexpr std::int64_t kRows = 96, kCols = 1024;
constexpr std::int64_t kVocabulary = 4096;
constexpr WorkContext kContext{.head_dim = 64, .sequence_length = 48, .vocabulary = kVocabulary};
constexpr Storage kStored = Storage::bf16;

/// Runs the checks one after the other; a work that throws is a failed check.
class Checks {
 public:
  std::vector<CheckResult> take() { return std::move(results_); }

  template <class Body>
  void work(const StepWork& w, Body body) {
    const std::string name = work_text(w);
    try {
      BoundWork bound(w, kContext, libraries_);
      body(bound, name);
    } catch (const SpecError& e) {
      results_.push_back({name, false, e.what()});
    }
  }
  void add(CheckResult result) { results_.push_back(std::move(result)); }

 private:
  std::shared_ptr<Libraries> libraries_ = open_libraries();
  std::vector<CheckResult> results_;
};

MemoryKernel memory(MemoryOp op, bool backward, std::int64_t rows = kRows, std::int64_t cols = kCols,
                    DType dtype = DType::bf16) {
  return memory_kernel(op, backward, rows, cols, dtype);
}
Values numbers(std::int64_t count, std::uint64_t seed, double size = 1) {
  return random_numbers(kStored, count, seed, size);
}

// --- libraries ---------------------------------------------------------------------------------

void check_gemms(Checks& checks) {
  using reference::LinearPass;
  struct Case {
    GemmLayout layout;
    LinearPass pass;
    bool accumulate;
  };
  for (const Case& c :
       {Case{GemmLayout::tn, LinearPass::forward, false}, Case{GemmLayout::nn, LinearPass::input_gradient, false},
        Case{GemmLayout::nt, LinearPass::weight_gradient, true},
        Case{GemmLayout::nt, LinearPass::weight_gradient, false}}) {
    const Gemm gemm{.m = 128,
                    .n = 192,
                    .k = 320,
                    .output = c.accumulate ? DType::fp32 : DType::bf16,
                    .accumulate = c.accumulate,
                    .layout = c.layout};
    checks.work(gemm, [&](BoundWork& w, const std::string& name) {
      const Values a = numbers(gemm.m * gemm.k, 1), b = numbers(gemm.k * gemm.n, 2);
      const Values before = random_numbers(Storage::fp32, gemm.m * gemm.n, 3);
      w.set_number(0, a);
      w.set_number(1, b);
      if (c.accumulate) w.set_state(0, before);
      w.run();
      const Values want = reference::gemm({.pass = c.pass, .m = gemm.m, .n = gemm.n, .k = gemm.k}, a, b,
                                          c.accumulate ? reference::View(before) : reference::View());
      // k sums of numbers up to 1, each of which may round at the size that the sum has reached.
      const Allowance allowance{c.accumulate ? Storage::fp32 : kStored, static_cast<double>(gemm.k), 16};
      checks.add(compare(name, c.accumulate ? w.state(0) : w.result(0, kStored), want, allowance));
    });
  }
}

void check_attention(Checks& checks) {
  for (const std::int64_t kv_heads : {std::int64_t{4}, std::int64_t{1}}) {
    const Attention attention{.batch = 2, .seq_q = 256, .seq_kv = 256, .heads_q = 4, .heads_kv = kv_heads};
    const reference::AttentionShape shape{.batch = 2,
                                          .seq_q = 256,
                                          .seq_kv = 256,
                                          .heads_q = 4,
                                          .heads_kv = kv_heads,
                                          .d_qk = 128,
                                          .d_v = 128,
                                          .causal = true,
                                          .scale = 1 / std::sqrt(128.0)};
    const std::int64_t queries = 2 * 256 * 4 * 128, keys = 2 * 256 * kv_heads * 128;
    const Values q = numbers(queries, 4), k = numbers(keys, 5), v = numbers(keys, 6), dout = numbers(queries, 7);
    reference::AttentionResult forward = reference::attention(shape, q, k, v);
    // Probabilities are rounded to bf16 before they meet v: an error of 2^-9 of numbers up to 1, as 2^15 fp32
    // roundings.
    constexpr double kSteps = 32768;
    checks.work(attention, [&](BoundWork& w, const std::string& name) {
      w.set_number(0, q);
      w.set_number(1, k);
      w.set_number(2, v);
      w.run();
      checks.add(compare(name, w.result(0, kStored), forward.out, {kStored, kSteps, 1}));
      checks.add(compare(name + ": log_sum_exp", w.scratch(0), forward.log_sum_exp, {Storage::fp32, 64, 8}));
    });
    Attention backward = attention;
    backward.backward = true;
    const Values out = reference::cast(forward.out, reference::kBf16);
    forward.out = out;
    const reference::AttentionGradient want = reference::attention_backward(shape, q, k, v, forward, dout);
    checks.work(backward, [&](BoundWork& w, const std::string& name) {
      const Values* inputs[] = {&q, &k, &v, &out, &forward.log_sum_exp, &dout};
      for (std::size_t i = 0; i < 6; ++i) w.set_number(i, *inputs[i]);
      w.run();
      // Gradients of a key are sums over the queries that see it, of a kv head also over its query heads.
      const double group = 4.0 / static_cast<double>(kv_heads);
      checks.add(compare(name + ": dq", w.result(0, kStored), want.dq, {kStored, kSteps, 4}));
      checks.add(compare(name + ": dk", w.result(1, kStored), want.dk, {kStored, kSteps, 4 * group}));
      checks.add(compare(name + ": dv", w.result(2, kStored), want.dv, {kStored, kSteps, 4 * group}));
    });
  }
}

// --- our kernels -------------------------------------------------------------------------------

void check_norms(Checks& checks) {
  for (const bool rms : {true, false}) {
    const MemoryOp op = rms ? MemoryOp::rms_norm : MemoryOp::layer_norm;
    const reference::NormShape shape{rms ? reference::Norm::rms : reference::Norm::layer, kRows, kCols, 1e-5};
    const Values x = numbers(kRows * kCols, 1), weight = numbers(kCols, 2), bias = numbers(kCols, 3);
    const Values dy = numbers(kRows * kCols, 4);
    const reference::NormResult forward =
        reference::norm(shape, x, weight, rms ? reference::View() : reference::View(bias));
    checks.work(memory(op, false), [&](BoundWork& w, const std::string& name) {
      w.set_number(0, x);
      w.set_number(1, weight);
      if (!rms) w.set_number(2, bias);
      w.run();
      checks.add(compare(name, w.result(0, kStored), forward.y, {kStored, 72, 8}));
    });
    checks.work(memory(op, true), [&](BoundWork& w, const std::string& name) {
      const reference::NormGradient want = reference::norm_backward(shape, x, weight, forward, dy);
      const Values* inputs[] = {&x, &dy, &weight, &forward.mean, &forward.inverse_deviation};
      for (std::size_t i = 0; i < 5; ++i) w.set_number(i, *inputs[i]);
      const Values before(static_cast<std::size_t>(kCols), 1.0);
      w.set_state(0, before);
      w.run();
      Values dweight = want.dweight;
      for (double& d : dweight) d += 1;
      checks.add(compare(name, w.result(0, kStored), want.dx, {kStored, 72, 16}));
      checks.add(compare(name + ": dweight", w.state(0), dweight, {Storage::fp32, kRows + 8.0, 2.0 * kRows}));
    });
  }
}

void check_activations(Checks& checks) {
  const Values gate_up = numbers(2 * kRows * kCols, 1, 4), dy = numbers(kRows * kCols, 2);
  const Values x = numbers(kRows * kCols, 3, 4);
  checks.work(memory(MemoryOp::swiglu, false), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, gate_up);
    w.run();
    checks.add(compare(name, w.result(0, kStored), reference::gated(reference::Activation::silu, kCols, gate_up),
                       {kStored, 32, 16}));
  });
  checks.work(memory(MemoryOp::swiglu, true), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, gate_up);
    w.set_number(1, dy);
    w.run();
    const Values want = reference::gated_backward(reference::Activation::silu, kCols, gate_up, dy);
    checks.add(compare(name, w.result(0, kStored), want, {kStored, 48, 16}));
  });
  checks.work(memory(MemoryOp::gelu, false), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, x);
    w.run();
    checks.add(
        compare(name, w.result(0, kStored), reference::activate(reference::Activation::gelu, x), {kStored, 48, 8}));
  });
  checks.work(memory(MemoryOp::gelu, true), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, x);
    w.set_number(1, dy);
    w.run();
    const Values want = reference::activate_backward(reference::Activation::gelu, x, dy);
    checks.add(compare(name, w.result(0, kStored), want, {kStored, 64, 16}));
  });
  checks.work(memory(MemoryOp::add, false), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, x);
    w.set_number(1, dy);
    w.run();
    checks.add(compare(name, w.result(0, kStored), reference::add(x, dy), {kStored, 2, 8}));
  });
}

void check_softmax(Checks& checks) {
  // 96 rows of 1024 scores; as many queries as keys, so that row r sees r + 1 of them.
  const Values x = numbers(kRows * kCols, 1, 8), dy = numbers(kRows * kCols, 2);
  const reference::SoftmaxShape shape{kRows, kCols, 0.125, true, kCols};
  const Values y = reference::cast(reference::softmax(shape, x), reference::kBf16);
  checks.work(memory(MemoryOp::masked_softmax, false), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, x);
    w.run();
    checks.add(compare(name, w.result(0, kStored), reference::softmax(shape, x), {kStored, 64, 1}));
  });
  checks.work(memory(MemoryOp::masked_softmax, true), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, y);
    w.set_number(1, dy);
    w.run();
    checks.add(compare(name, w.result(0, kStored), reference::softmax_backward(shape, y, dy), {kStored, 64, 2}));
  });
}

void check_tokens(Checks& checks) {
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(kRows));
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int64_t>(i * 977 % kVocabulary);
  const reference::EmbeddingShape shape{kVocabulary, kCols, 0};
  const Values table = numbers(kVocabulary * kCols, 1), dy = numbers(kRows * kCols, 2);
  checks.work(memory(MemoryOp::embedding, false), [&](BoundWork& w, const std::string& name) {
    w.set_tokens(tokens);
    w.set_number(0, table);
    w.run();
    checks.add(compare(name, w.result(0, kStored), reference::embed(shape, tokens, table), {kStored, 0, 1}));
  });
  checks.work(memory(MemoryOp::embedding, true), [&](BoundWork& w, const std::string& name) {
    w.set_tokens(tokens);
    w.set_number(0, dy);
    w.set_state(0, Values(static_cast<std::size_t>(kVocabulary * kCols), 0.0));
    w.run();
    checks.add(compare(name, w.state(0), reference::embed_backward(shape, tokens, dy), {Storage::fp32, 8, 4}));
  });
  const Values logits = numbers(kRows * kVocabulary, 3, 8);
  const reference::CrossEntropyShape loss_shape{kRows, kVocabulary, 0};
  const reference::CrossEntropyStatistics statistics = reference::cross_entropy_statistics(loss_shape, logits, tokens);
  checks.work(memory(MemoryOp::cross_entropy, false, kRows, kVocabulary), [&](BoundWork& w, const std::string& name) {
    w.set_number(0, logits);
    w.set_tokens(tokens);
    w.run();
    checks.add(compare(name, w.scratch(3), reference::cross_entropy_loss(statistics), {Storage::fp32, 160, 16}));
  });
}

void check_positions(Checks& checks) {
  // 96 tokens of 16 heads of 64; positions begin anew after 48.
  const Values x = numbers(kRows * kCols, 1);
  const reference::RopeShape shape{kRows, kCols / 64, 64, 10000};
  std::vector<std::int64_t> positions(static_cast<std::size_t>(kRows));
  Values table(static_cast<std::size_t>(48 * 64));
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int64_t>(i % 48);
  for (std::int64_t p = 0; p < 48; ++p) {
    for (std::int64_t i = 0; i < 32; ++i) {
      const double angle = reference::rope_angle(shape, p, i);
      table[static_cast<std::size_t>(p * 64 + 2 * i)] = std::cos(angle);
      table[static_cast<std::size_t>(p * 64 + 2 * i + 1)] = std::sin(angle);
    }
  }
  for (const bool backward : {false, true}) {
    checks.work(memory(MemoryOp::rope, backward), [&](BoundWork& w, const std::string& name) {
      w.set_number(0, x);
      w.set_number(1, table);
      w.run();
      const Values want =
          backward ? reference::rope_backward(shape, positions, x) : reference::rope(shape, positions, x);
      checks.add(compare(name, w.result(0, kStored), want, {kStored, 8, 2}));
    });
  }
}

void check_optimizer(Checks& checks) {
  const std::int64_t count = kRows * kCols;
  const auto exact = [&](std::uint64_t seed) { return random_numbers(Storage::fp32, count, seed); };
  const Values gradient = exact(1);
  checks.work(memory(MemoryOp::grad_norm, false, kRows, kCols, DType::fp32),
              [&](BoundWork& w, const std::string& name) {
                w.set_state(0, gradient);
                w.run();
                const double sum = reference::sum_of_squares(gradient);
                checks.add(compare(name, w.scratch(0), {sum}, {Storage::fp32, 64, sum}));
              });
  checks.work(memory(MemoryOp::adam, false), [&](BoundWork& w, const std::string& name) {
    reference::AdamState state{exact(2), exact(3), {}};
    w.set_state(0, gradient);
    w.set_state(1, state.weight);
    w.set_state(2, state.first_moment);
    state.second_moment = w.squares(0);
    w.run();
    const reference::AdamState want = reference::adam({.step = 100}, state, gradient);
    // A step is the learning rate times a ratio that is large where the second moment is near zero.
    checks.add(compare(name, w.state(1), want.weight, {Storage::fp32, 256, 2}));
    checks.add(compare(name + ": first moment", w.state(2), want.first_moment, {Storage::fp32, 8, 1}));
    checks.add(compare(name + ": second moment", w.squares(0), want.second_moment, {Storage::fp32, 8, 8}));
  });
}

}  // namespace

std::vector<CheckResult> check_kernels() {
  Checks checks;
  check_gemms(checks);
  check_attention(checks);
  check_norms(checks);
  check_activations(checks);
  check_softmax(checks);
  check_tokens(checks);
  check_positions(checks);
  check_optimizer(checks);
  return checks.take();
}

}  // namespace foretrain::gpu
