// What a calibration does to a plan: kernel, message, optimizer and launch times, and what the plan file says of it.
#include <cmath>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "hwmodels/sustained_rate.h"
#include "planner/bound.h"
#include "planner/calibration_coverage.h"
#include "planner/plan_file.h"
#include "planner/report.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kJob = R"({
  "model": {"layers": 8, "hidden": 4096, "ffn_hidden": 14336, "heads": 32, "kv_heads": 8, "vocab": 32000, "gated_mlp": true},
  "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 4096, "global_batch": 32},
  "software": {"framework": "megatron-core"},
  "plan": {"tensor": 2, "pipeline": 2, "micro_batch": 1, "sequence_parallel": true, "zero_stage": 1}})";

/// A surface that says log_ratio everywhere, measured everywhere in a box of 2^0 to 2^60.
CorrectionSurface everywhere(double log_ratio, const std::vector<std::string>& axes) {
  CorrectionSurface::Parts parts;
  for (const std::string& name : axes) parts.axes.push_back({name, -10, 120});
  parts.trend = {log_ratio};
  return CorrectionSurface(parts);
}

void correct(Calibration& c, const KernelFamily& family, double factor, MeasuredIn in = MeasuredIn::isolated,
             const char* gpu = "h100-sxm5-80gb") {
  c.kernels.push_back({.gpu = gpu,
                       .family = family,
                       .measured_in = in,
                       .surface = everywhere(std::log(factor), axis_names(family.kind)),
                       .quality = {}});
}
void correct(Calibration& c, const CollectiveFamily& family, double factor) {
  c.collectives.push_back({.gpu = "h100-sxm5-80gb",
                           .family = family,
                           .measured_in = MeasuredIn::isolated,
                           .surface = everywhere(std::log(factor), collective_axis_names()),
                           .quality = {}});
}

Problem with(const Calibration& c, std::string_view json = kJob) {
  Problem problem = job(json);
  problem.calibration = std::make_shared<const Calibration>(c);
  return problem;
}

Seconds time_of(const Kernel& kernel, const Problem& problem) {
  return op_time({.work = kernel}, {}, problem, framework_spec(FrameworkKind::megatron_core));
}

double rate_of(const Problem& problem) {
  return sustained_rate(problem.cluster.gpu, problem.efficiency, DType::bf16, false);
}

constexpr KernelFamily kGemm = {.kind = KernelFamily::Kind::gemm, .dtype = DType::bf16};
const Gemm kLarge = {.m = 8192, .n = 8192, .k = 8192};

}  // namespace

TEST_CASE("isolated kernels are slowed to what a step sustains, kernels measured in steps are not") {
  const Problem plain = job(kJob);
  const double rate = rate_of(plain);
  Calibration isolated, in_step;
  correct(isolated, kGemm, 1.25);
  correct(in_step, kGemm, 1.25, MeasuredIn::step);
  CHECK(rate < 1);
  CHECK(time_of(kLarge, with(isolated)) / time_of(kLarge, plain) == doctest::Approx(1.25));
  CHECK(time_of(kLarge, with(in_step)) / time_of(kLarge, plain) == doctest::Approx(1.25 * rate));
}

TEST_CASE("a measured sustained rate takes the place of the architecture's") {
  const Problem plain = job(kJob);
  Calibration c;
  c.sustained.push_back({"h100-sxm5-80gb", 0.8, 20});
  CHECK(time_of(kLarge, with(c)) / time_of(kLarge, plain) == doctest::Approx(rate_of(plain) / 0.8));
}

TEST_CASE("a framework's slower attention is not counted twice where its own was measured") {
  const Attention attention{.seq_q = 8192, .seq_kv = 8192, .heads_q = 32, .heads_kv = 8};
  const KernelFamily family = family_of(attention);
  Calibration isolated, in_step;
  correct(isolated, family, 1);
  correct(in_step, family, 1, MeasuredIn::step);
  FrameworkSpec old = framework_spec(FrameworkKind::megatron_core);
  old.flash_generation = 2;
  const auto time = [&](const Calibration& c) { return op_time({.work = Kernel(attention)}, {}, with(c), old); };
  // FlashAttention-2 on Hopper: 1.65 times the best kernels, and the sustained rate.
  const double rate = rate_of(job(kJob));
  CHECK(time(isolated) / time(in_step) == doctest::Approx(1.65 / rate));
}

TEST_CASE("fp16 stays fp16 where it was measured, and is bf16 otherwise") {
  const Problem plain = job(kJob);
  Gemm half = kLarge;
  half.dtype = half.output = DType::fp16;
  Calibration bf16, fp16;
  correct(bf16, kGemm, 2);
  correct(fp16, family_of(half), 3, MeasuredIn::step);
  CHECK(time_of(half, with(bf16)) / time_of(half, plain) == doctest::Approx(2));
  const KernelTime own = kernel_time(half, plain.cluster.gpu, plain.efficiency);
  CHECK(time_of(half, with(fp16)) / (3 * slowest_of(plain.cluster.gpus) * own.time) == doctest::Approx(1));
}

TEST_CASE("messages and the optimizer are corrected with everything else") {
  const Problem plain = job(kJob);
  Calibration c;
  const CollectiveFamily inside{.op = CollectiveOp::reduce_scatter, .fabric = IntraNodeFabric::nvswitch, .network = {}};
  CollectiveFamily across = inside;
  across.network = NetworkKind::infiniband;
  correct(c, inside, 2);
  correct(c, across, 2);
  correct(c, {.kind = KernelFamily::Kind::memory, .dtype = DType::fp32, .op = MemoryOp::adam}, 1.5);
  const Problem corrected = with(c);
  const PlanCosts a = costs_of(plain, *plain.plan), b = costs_of(corrected, *plain.plan);
  const Message &before = a.stages[0].data.reduce, &after = b.stages[0].data.reduce;
  REQUIRE(before.total.count > 0);
  CHECK(static_cast<double>(after.total.count) / static_cast<double>(before.total.count) == doctest::Approx(2));
  CHECK(static_cast<double>(after.fixed.count) / static_cast<double>(before.fixed.count) == doctest::Approx(2));
  CHECK(after.flow == before.flow);
  CHECK(after.use == CalibrationUse::inside);
  CHECK(before.use == CalibrationUse::none);
  CHECK(b.stages[0].data.gather.total == a.stages[0].data.gather.total);  // all_gather was not measured
  const auto adam = [&](const Problem& p, const PlanCosts& costs) {
    for (const TimedKernel& k : optimizer_kernels(p, *p.plan, costs, costs.stages[0].parameters))
      if (std::get<MemoryKernel>(k.kernel).op == MemoryOp::adam) return static_cast<double>(k.time.count);
    return 0.0;
  };
  CHECK(adam(corrected, b) / adam(plain, a) == doctest::Approx(1.5));
}

TEST_CASE("launch costs are those measured for the framework, and no other's") {
  Calibration c;
  c.launches.push_back({"megatron-core", false, 3 * microseconds, 100});
  c.launches.push_back({"torchtitan", true, 9 * microseconds, 100});
  const FrameworkSpec usual = framework_spec(job(kJob));
  const FrameworkSpec own = framework_spec(with(c));
  CHECK(own.forward_launch / microseconds == doctest::Approx(3));
  CHECK(own.backward_launch == usual.backward_launch);
}

TEST_CASE("all times doubled double the step of a plan that no host holds up") {
  Problem plain = job(kJob);
  plain.software.cuda_graphs = true;
  Calibration c;
  for (const DType t : {DType::bf16, DType::fp32}) {
    correct(c, {.kind = KernelFamily::Kind::gemm, .dtype = t}, 2);
    for (const bool backward : {false, true}) {
      correct(c, {.kind = KernelFamily::Kind::attention, .dtype = t, .backward = backward}, 2);
      for (int op = 0; op <= static_cast<int>(MemoryOp::grad_norm); ++op)
        correct(c,
                {.kind = KernelFamily::Kind::memory, .dtype = t, .backward = backward, .op = static_cast<MemoryOp>(op)},
                2);
    }
  }
  for (std::size_t op = 0; op < kCollectiveNames.size(); ++op) {
    CollectiveFamily family{.op = static_cast<CollectiveOp>(op), .fabric = IntraNodeFabric::nvswitch, .network = {}};
    correct(c, family, 2);
    family.network = NetworkKind::infiniband;
    correct(c, family, 2);
  }
  Problem twice = plain;
  twice.calibration = std::make_shared<const Calibration>(c);
  const Seconds one = evaluate(plain, *plain.plan, {.even_if_too_big = true}).step;
  const Seconds two = evaluate(twice, *plain.plan, {.even_if_too_big = true}).step;
  // What the framework does once a step on the host is no kernel and stays; some of it hides behind the GPU.
  const Seconds host = framework_spec(plain.software, plain.training.precision).step_overhead;
  CHECK(two <= 2.0 * one);
  CHECK(two >= 2.0 * one - host);
  CHECK(calibration_coverage(twice, *plain.plan).not_measured.empty());
  CHECK(calibration_coverage(twice, *plain.plan).outside.empty());
}

TEST_CASE("the bound stays below what is simulated with a calibration") {
  Calibration c;
  correct(c, kGemm, 0.7);
  correct(c, CollectiveFamily{.op = CollectiveOp::all_reduce, .fabric = IntraNodeFabric::nvswitch, .network = {}}, 3);
  c.launches.push_back({"megatron-core", false, 30 * microseconds, 100});
  const Problem problem = with(c, kSmallSpaces[0]);
  std::int64_t plans = 0;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
    if (order % 7 != 0) return;
    const PlanReport report = evaluate(problem, plan);
    if (report.rejection) return;
    ++plans;
    CHECK(to_seconds(step_bound(plan, costs_of(problem, plan))) <= report.step);
  });
  CHECK(plans > 5);
}

TEST_CASE("a plan file names its calibration and what it did not cover") {
  Calibration c;
  c.name = "h100.json";
  c.sha256 = std::string(64, 'a');
  correct(c, kGemm, 1.1);
  Calibration small = c;  // measured nowhere near this plan
  CorrectionSurface::Parts parts;
  for (const std::string& name : axis_names(KernelFamily::Kind::gemm)) parts.axes.push_back({name, 0, 1});
  small.kernels[0].surface = CorrectionSurface(parts);
  const Problem problem = with(c);
  const CalibrationCoverage coverage = calibration_coverage(problem, *problem.plan);
  CHECK(coverage.inside > 5);  // the layer's and the head's matrix products, each once
  CHECK(coverage.outside.empty());
  CHECK(std::find(coverage.not_measured.begin(), coverage.not_measured.end(), "rms_norm forward bf16") !=
        coverage.not_measured.end());
  CHECK(std::is_sorted(coverage.not_measured.begin(), coverage.not_measured.end()));
  const CalibrationCoverage far = calibration_coverage(with(small), *problem.plan);
  CHECK(far.inside == 0);
  CHECK(far.outside == std::vector<std::string>{"gemm bf16"});
  CHECK(far.outside_count == coverage.inside);
  CHECK(to_text(far).find("outside, at the border's correction: gemm bf16") != std::string::npos);
  const SearchResult result = as_search_result(evaluate(problem, *problem.plan));
  const SpecNode named = SpecNode::parse(plan_file_text(problem.job_json, result, "0.1.0", &coverage), "plan.json")
                             .required("calibration");
  CHECK(named.required("name").as_string() == "h100.json");
  CHECK(named.required("sha256").as_string() == c.sha256);
  CHECK(named.required("inside").as_int() == coverage.inside);
  CHECK_FALSE(SpecNode::parse(plan_file_text(problem.job_json, result, "0.1.0"), "plan.json").optional("calibration"));
}
