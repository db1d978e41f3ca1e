// Predicted beside measured: matched by what ran, refused where there is nothing to compare.
#include "validate/device/compare_measured.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

const Problem& problem() {
  static const Problem p =
      job(R"({"model": {"layers": 4, "hidden": 4096, "ffn_hidden": 16384, "heads": 32, "vocab": 32768},
      "cluster": {"node": "dgx-h100", "nodes": 1}, "training": {"sequence_length": 2048, "global_batch": 8},
      "plan": {"tensor": 8, "micro_batch": 1}})");
  return p;
}
PlanPrediction predicted() {
  const Problem& p = problem();
  return {.works = distinct_works(p, *p.plan, kernel_step(p, *p.plan), 0), .step = 2 * seconds, .peak_memory = 1000};
}
MeasuredTime time_of(double us) { return {.median = us * microseconds, .spread = 0, .samples = 1, .skipped = {}}; }

std::string why(const Comparison& comparison, const std::string& part) {
  for (const RefusedRow& row : comparison.refused)
    if (row.why.find(part) != std::string::npos || row.id.find(part) != std::string::npos) return row.why;
  return {};
}

}  // namespace

TEST_CASE("every kernel of a plan finds its prediction, with the error that was put in") {
  const PlanPrediction p = predicted();
  MeasuredRun run;
  for (const DistinctWork& w : p.works)
    if (const auto* kernel = std::get_if<Kernel>(&w.work))
      run.kernels.push_back(
          {*kernel, {.median = 1.25 * to_seconds(w.alone), .spread = 0, .samples = 1, .skipped = {}}});
  const Comparison c = compare_measured(run, p, problem());
  CHECK(c.refused.empty());
  REQUIRE(c.rows.size() == run.kernels.size());
  CHECK(c.rows.size() > 10);
  for (const ComparisonRow& row : c.rows) CHECK(error_of(row) == doctest::Approx(1 / 1.25 - 1));  // -20 %
  const auto rows_of = [&](const char* quantity) {
    return std::count_if(c.rows.begin(), c.rows.end(), [&](const ComparisonRow& r) { return r.quantity == quantity; });
  };
  CHECK(rows_of("gemm_seconds") > 3);
  CHECK(rows_of("attention_seconds") == 2);
  CHECK(rows_of("memory_bound_seconds") > 3);
}

TEST_CASE("steps and memory are compared with what ran") {
  MeasuredRun run;
  run.steps.push_back({"plan", 0, false, time_of(2.5e6), {}});
  run.memory.push_back({"plan", 0, 800});
  const Comparison c = compare_measured(run, predicted(), problem());
  REQUIRE(c.rows.size() == 2);
  CHECK(c.rows[0].quantity == "step_seconds");
  CHECK(error_of(c.rows[0]) == doctest::Approx(-0.2));
  CHECK(c.rows[1].quantity == "peak_memory_bytes");
  CHECK(error_of(c.rows[1]) == doctest::Approx(0.25));
}

TEST_CASE("kernels inside a step are compared with what they take inside one") {
  const PlanPrediction p = predicted();
  const auto gemm = std::find_if(p.works.begin(), p.works.end(), [](const DistinctWork& w) {
    return is_kernel(w) && std::holds_alternative<Gemm>(std::get<Kernel>(w.work));
  });
  REQUIRE(gemm != p.works.end());
  CHECK(gemm->in_step > gemm->alone);
  MeasuredRun run;
  run.steps.push_back({"plan",
                       0,
                       false,
                       time_of(2e6),
                       {{std::get<Kernel>(gemm->work), time_of(to_seconds(gemm->in_step) / microseconds)}}});
  const Comparison c = compare_measured(run, p, problem());
  REQUIRE(c.rows.size() == 2);
  CHECK(c.rows[1].quantity == "in_step_gemm_seconds");
  CHECK(error_of(c.rows[1]) == doctest::Approx(0).epsilon(1e-9));
}

TEST_CASE("collectives are matched by operation, size and ranks") {
  const PlanPrediction p = predicted();
  const auto found = std::find_if(p.works.begin(), p.works.end(), [](const DistinctWork& w) { return !is_kernel(w); });
  REQUIRE(found != p.works.end());
  const auto& m = std::get<MessageWork>(found->work);
  CHECK(found->ranks == 8);
  MeasuredRun run;
  run.collectives.push_back({m.op, m.bytes, 8, 8, 0, time_of(2 * to_seconds(found->alone) / microseconds)});
  run.collectives.push_back({m.op, m.bytes + 1, 8, 8, 0, time_of(1)});
  run.collectives.push_back({m.op, m.bytes, 4, 4, 4, time_of(100)});
  run.collectives.push_back({m.op, m.bytes, 8, 8, 2, time_of(1)});
  const Comparison c = compare_measured(run, p, problem());
  REQUIRE(c.rows.size() == 2);
  CHECK(c.rows[0].quantity == "collective_seconds");
  CHECK(error_of(c.rows[0]) == doctest::Approx(-0.5));
  // Four GPUs instead of eight: predicted for four.
  const Seconds on_four =
      collective_time(m.op, static_cast<double>(m.bytes) * bytes, {.ranks = 4, .ranks_per_node = 4}, problem().cluster)
          .time;
  CHECK(c.rows[1].predicted == doctest::Approx(on_four.base()));
  REQUIRE(c.refused.size() == 2);
  CHECK(c.refused[0].why == "not in the plan");
  CHECK(why(c, "shared a GPU").substr(0, 12) == "ranks shared");
}

TEST_CASE("what was skipped or failed says why") {
  const PlanPrediction p = predicted();
  MeasuredRun run;
  run.kernels.push_back(
      {std::get<Kernel>(p.works.front().work), {.median = {}, .spread = 0, .samples = 0, .skipped = "no such kernel"}});
  run.kernels.push_back({Gemm{.m = 1, .n = 2, .k = 3}, time_of(1)});
  run.failures.push_back("adam: out of device memory");
  const Comparison c = compare_measured(run, p, problem());
  CHECK(c.rows.empty());
  CHECK(why(c, "no such kernel") == "no such kernel");
  CHECK(why(c, "gemm 1x2x3") == "not in the plan");
  CHECK(why(c, "adam") == "adam: out of device memory");
}

TEST_CASE("works in words for people") {
  CHECK(describe(Kernel{Gemm{.m = 8, .n = 4, .k = 2}}, 1) == "gemm 8x4x2 bf16 tn");
  CHECK(
      describe(
          Kernel{Gemm{
              .batch = 3, .m = 8, .n = 4, .k = 2, .output = DType::fp32, .accumulate = true, .layout = GemmLayout::nt}},
          1) == "gemm 8x4x2 bf16 nt x 3 += fp32");
  CHECK(describe(
            Kernel{Attention{.batch = 2, .seq_q = 512, .seq_kv = 512, .heads_q = 8, .heads_kv = 2, .backward = true}},
            1) == "attention 2x512 8/2 heads of 128 bf16 causal backward");
  CHECK(describe(Kernel{MemoryKernel{.op = MemoryOp::swiglu, .rows = 4, .cols = 5, .read = {}, .written = {}}}, 1) ==
        "swiglu 4x5 bf16");
  CHECK(describe(MessageWork{.op = CollectiveOp::all_gather, .bytes = 134'000'000}, 4) == "all_gather 134 MB, 4 ranks");
}
