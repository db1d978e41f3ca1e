#include "validate/calibrate/kineto.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "validate/calibrate/read_measurements.h"

using namespace foretrain;

namespace {

const std::string kFolder = "tests/data/measurements/";

std::string text_of(const std::string& name) {
  std::ifstream in(kFolder + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const KernelSample* find(const Measurements& m, const Kernel& kernel) {
  for (const KernelSample& s : m.kernels)
    if (s.kernels.back() == kernel) return &s;
  return nullptr;
}

std::int64_t left_out(const Measurements& m, const std::string& words) {
  std::int64_t rows = 0;
  for (const LeftOutRows& l : m.left_out)
    if (l.why.find(words) != std::string::npos) rows += l.rows;
  return rows;
}

}  // namespace

TEST_CASE("a trace's one collective has its size, group and time") {
  const Measurements m = read_measurements(kFolder + "kineto_minimal.json", {}, Catalogue::load());
  CHECK(m.source.kind == "Kineto trace");
  CHECK(m.source.device == "NVIDIA H100 80GB HBM3");
  REQUIRE(m.collectives.size() == 1);
  const CollectiveSample& s = m.collectives[0];
  CHECK(s.op == CollectiveOp::all_reduce);
  CHECK(s.size.base() == 4.0 * 1048576);  // "Float"
  CHECK(s.group.ranks == 8);
  CHECK(s.group.ranks_per_node == 8);
  CHECK(s.time / microseconds == doctest::Approx(1494.773));
  CHECK(s.measured_in == MeasuredIn::step);
}

TEST_CASE("matrix products take their shape from the operator and their layout from its strides") {
  const Measurements m = read_measurements(kFolder + "kineto_step.json", {}, Catalogue::load());
  // Three times 600, 640 and 2900 us: the median is 640, whatever held the last one up.
  const KernelSample* forward = find(m, Gemm{.m = 8192, .n = 6144, .k = 4096, .layout = GemmLayout::tn});
  REQUIRE(forward != nullptr);
  CHECK(forward->time / microseconds == doctest::Approx(640));
  CHECK(forward->gpu == "h100-sxm5-80gb");
  CHECK(forward->measured_in == MeasuredIn::step);
  // dW = dy^T x: the first operand is the transposed view. Two kernels of one operator: 600 + 30 us; the first names
  // its launch and not its operator, which the launch does.
  const KernelSample* weight = find(m, Gemm{.m = 6144, .n = 4096, .k = 8192, .layout = GemmLayout::nt});
  REQUIRE(weight != nullptr);
  CHECK(weight->time / microseconds == doctest::Approx(630));
}

TEST_CASE("attention and norms of a trace") {
  const Measurements m = read_measurements(kFolder + "kineto_step.json", {}, Catalogue::load());
  const KernelSample* attention =
      find(m, Attention{.batch = 2, .seq_q = 4096, .seq_kv = 4096, .heads_q = 32, .heads_kv = 8});
  REQUIRE(attention != nullptr);
  CHECK(attention->time / microseconds == doctest::Approx(450.5));
  const KernelSample* norm = find(m, memory_kernel(MemoryOp::layer_norm, false, 8192, 4096, DType::bf16));
  REQUIRE(norm != nullptr);
  CHECK(norm->time / microseconds == doctest::Approx(52));
}

TEST_CASE("what a trace cannot say is counted by reason") {
  const Measurements m = read_measurements(kFolder + "kineto_step.json", {}, Catalogue::load());
  CHECK(left_out(m, "aten::mul is not modelled") == 1);
  CHECK(left_out(m, "record_shapes=True") == 1);
  CHECK(left_out(m, "without an operator") == 1);
  CHECK(left_out(m, "does not name") == 1);  // a message inside a pipeline group of four
  CHECK(m.source.rows == 14);
}

TEST_CASE("collectives of a trace lie on nodes as their ranks do") {
  const Measurements m = read_measurements(kFolder + "kineto_step.json", {}, Catalogue::load());
  REQUIRE(m.collectives.size() == 2);
  const CollectiveSample& across = m.collectives[0];  // ranks 0 and 8: one a node, all eight GPUs of a node do the same
  CHECK(across.op == CollectiveOp::all_reduce);
  CHECK(across.group.ranks == 2);
  CHECK(across.group.ranks_per_node == 1);
  CHECK(across.group.groups_sharing_nics == 8);
  const CollectiveSample& inside = m.collectives[1];
  CHECK(inside.op == CollectiveOp::all_gather);
  CHECK(inside.size.base() == 2.0 * 134217728);               // what is received
  CHECK(inside.time / microseconds == doctest::Approx(700));  // the lower quartile of 700 and 900
}

TEST_CASE("an operator's kernel follows from its name") {
  std::string why;
  const auto add = kernel_of({.name = "aten::addmm",
                              .dims = {{512}, {128, 256}, {256, 512}},
                              .strides = {{1}, {256, 1}, {512, 1}},
                              .types = {"float", "c10::Half", "c10::Half"},
                              .concrete = {},
                              .has_dims = true},
                             why);
  REQUIRE(add.has_value());
  CHECK(std::get<Gemm>(*add) ==
        Gemm{.m = 128, .n = 512, .k = 256, .dtype = DType::fp16, .output = DType::fp16, .layout = GemmLayout::nn});
  const auto batched = kernel_of({.name = "aten::bmm",
                                  .dims = {{16, 64, 32}, {16, 32, 64}},
                                  .strides = {},
                                  .types = {"c10::BFloat16", "c10::BFloat16"},
                                  .concrete = {},
                                  .has_dims = true},
                                 why);
  REQUIRE(batched.has_value());
  CHECK(std::get<Gemm>(*batched).batch == 16);
  // q, k and v as [batch, heads, sequence, width]; gradients of the output come first.
  const TraceOp backward = {.name = "aten::_scaled_dot_product_cudnn_attention_backward",
                            .dims = {{1, 8, 512, 64}, {1, 8, 512, 64}, {1, 2, 1024, 64}, {1, 2, 1024, 64}},
                            .strides = {},
                            .types = {"c10::BFloat16", "c10::BFloat16", "c10::BFloat16", "c10::BFloat16"},
                            .concrete = {"", "", "", "", "", "", "", "", "", "", "", "", "", "0.", "False"},
                            .has_dims = true};
  const auto attention = kernel_of(backward, why);
  REQUIRE(attention.has_value());
  CHECK(std::get<Attention>(*attention) == Attention{.seq_q = 512,
                                                     .seq_kv = 1024,
                                                     .heads_q = 8,
                                                     .heads_kv = 2,
                                                     .d_qk = 64,
                                                     .d_v = 64,
                                                     .causal = false,
                                                     .backward = true});
  TraceOp silent = backward;
  silent.concrete.clear();
  CHECK_FALSE(kernel_of(silent, why).has_value());
  CHECK(why.find("causal") != std::string::npos);
  // fp32 into bf16: a cast, and backwards as ours go from narrow to wide.
  const auto cast = kernel_of({.name = "aten::copy_",
                               .dims = {{64, 32}, {64, 32}},
                               .strides = {},
                               .types = {"c10::BFloat16", "float"},
                               .concrete = {},
                               .has_dims = true},
                              why);
  REQUIRE(cast.has_value());
  CHECK(std::get<MemoryKernel>(*cast) == memory_kernel(MemoryOp::cast, true, 64, 32, DType::bf16));
}

TEST_CASE("a trace that is cut keeps the events before; what is no trace is refused with its line") {
  const std::string text = text_of("kineto_step.json");
  const std::string cut = text.substr(0, text.find("aten::native_layer_norm"));
  const KinetoTrace trace = read_kineto_trace(cut, "cut.json");
  CHECK(trace.warnings.size() == 1);
  CHECK(trace.kernels.size() == 6);
  CHECK_THROWS_WITH_AS(read_kineto_trace("{\"traceEvents\": [{\"ph\": }]}\n\n\n{}", "bad.json"),
                       doctest::Contains("bad.json:1"), SpecError);
  CHECK_THROWS_WITH_AS(read_kineto_trace("{\"traceEvents\": []}", "empty.json"), doctest::Contains("none"), SpecError);
}

TEST_CASE("every beginning of a trace, and every trace with a byte changed, is read or refused") {
  const std::string text = text_of("kineto_step.json");
  std::size_t most = 0;
  const auto attempt = [&](const std::string& changed) {
    try {
      const KinetoTrace trace = read_kineto_trace(changed, "trace.json");
      Measurements m;
      add_kineto_samples(trace, {}, Catalogue::load(), m);
      most = std::max(most, trace.kernels.size());
    } catch (const SpecError& error) {
      CHECK(std::string(error.what()).find("trace.json") == 0);
    }
  };
  for (std::size_t length = 0; length < text.size(); length += 61) attempt(text.substr(0, length));
  for (std::size_t at = 0; at < text.size(); at += 61) {
    std::string changed = text;
    changed[at] = "}]\"0,x"[at % 6];
    attempt(changed);
  }
  CHECK(most >= 14);
}

TEST_CASE("launches of a trace, by who runs forward and backward") {
  std::string events;
  // 60 launches 7 us apart on the main thread, 60 of 4 us on the autograd engine's, with pauses that do not count.
  for (int thread = 1; thread <= 2; ++thread) {
    double at = 0;
    for (int i = 0; i < 61; ++i) {
      at += i == 30 ? 5000 : thread == 1 ? 7 : 4;
      events += "{\"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"tid\": " +
                std::to_string(thread) + ", \"ts\": " + std::to_string(at) + ", \"args\": {}},\n";
    }
  }
  events +=
      R"({"ph": "X", "cat": "cpu_op", "name": "autograd::engine::evaluate_function: MmBackward0", "tid": 2, "ts": 1, "args": {"External id": 5}})";
  const std::string text = R"({"deviceProperties": [{"name": "NVIDIA H200"}], "traceEvents": [)" + events + "]}";
  const KinetoTrace trace = read_kineto_trace(text, "launch.json");
  MeasurementOptions options;
  Measurements silent;
  add_kineto_samples(trace, options, Catalogue::load(), silent);
  CHECK(silent.launches.empty());
  options.framework = "torchtitan";
  Measurements m;
  add_kineto_samples(trace, options, Catalogue::load(), m);
  REQUIRE(m.launches.size() == 2);
  CHECK_FALSE(m.launches[0].backward);
  CHECK(m.launches[0].time / microseconds == doctest::Approx(7));
  CHECK(m.launches[1].backward);
  CHECK(m.launches[1].time / microseconds == doctest::Approx(4));
  CHECK(m.launches[1].samples == 59);
}
