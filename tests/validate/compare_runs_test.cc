#include "validate/compare_runs.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

MemoryAnatomy stage(std::int64_t parameters, std::int64_t communication, std::int64_t context, std::int64_t allocator) {
  MemoryAnatomy anatomy;
  anatomy[MemoryLabel::parameters] = parameters;
  anatomy[MemoryLabel::communication] = communication;
  anatomy[MemoryLabel::cuda_context] = context;
  anatomy[MemoryLabel::allocator] = allocator;
  anatomy.total = parameters + communication + context + allocator;
  return anatomy;
}

double measured(const PlanReport& report, MemoryMeasure::Counts counts, MemoryMeasure::Where where) {
  return measured_memory(report, {counts, where}).base();
}

const std::string kRuns = R"({"schema": "foretrain.runs/1", "runs": [
  {"id": "fits", "model": "gpt2", "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 8, "gpus_per_node": 8},
   "training": {"sequence_length": 1024, "global_batch": 64, "precision": "bf16"},
   "plan": {"tensor": 1, "pipeline": 1, "micro_batch": 8},
   "measured": {"step_seconds": 1.0, "peak_memory_bytes": 20000000000}},
  {"id": "too big", "model": "llama-3.1-70b", "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 8, "gpus_per_node": 8},
   "training": {"sequence_length": 1024, "global_batch": 64, "precision": "bf16"},
   "plan": {"tensor": 8, "pipeline": 1, "micro_batch": 1}, "measured": {"step_seconds": 1.0}},
  {"id": "boundary", "grade": "OOM", "model": "llama-3.1-70b",
   "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 8, "gpus_per_node": 8},
   "training": {"sequence_length": 1024, "global_batch": 64, "precision": "bf16"},
   "plan": {"tensor": 8, "pipeline": 1, "micro_batch": 1}},
  {"id": "experts", "model": "mixtral-8x7b", "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 8, "gpus_per_node": 8},
   "training": {"sequence_length": 1024, "global_batch": 64, "precision": "bf16"},
   "plan": {"tensor": 8, "pipeline": 1, "micro_batch": 1}, "measured": {"step_seconds": 1.0}}]})";

Comparison compare(std::int32_t threads) {
  return compare_runs(read_run_rows(SpecNode::parse(kRuns, "runs.json"), Catalogue::load()), threads);
}

}  // namespace

TEST_CASE("memory is counted as the measurement counted it, on the stages it looked at") {
  PlanReport report;
  report.stages = {stage(100, 3, 5, 7), stage(300, 3, 5, 7), stage(200, 3, 5, 7)};
  using Counts = MemoryMeasure::Counts;
  using Where = MemoryMeasure::Where;
  CHECK(measured(report, Counts::device, Where::any_stage) == 315);     // 300 + 3 + 5 + 7
  CHECK(measured(report, Counts::reserved, Where::any_stage) == 307);   // without context and NCCL
  CHECK(measured(report, Counts::allocated, Where::any_stage) == 300);  // tensors alone
  CHECK(measured(report, Counts::allocated, Where::last_stage) == 200);
  CHECK(measured(report, Counts::device, Where::first_or_last_stage) == 215);  // the middle one was not looked at
}

TEST_CASE("every row is predicted or refused with a reason") {
  const Comparison comparison = compare(1);
  REQUIRE(comparison.rows.size() == 2);
  CHECK(comparison.rows[0].id == "fits");
  CHECK(comparison.rows[0].quantity == "step_seconds");
  CHECK(comparison.rows[1].quantity == "peak_memory_bytes");
  REQUIRE(comparison.refused.size() == 3);
  // 70.6e9 parameters x 16 bytes over 8 GPUs: 141 GB each, beyond 80 GB.
  CHECK(comparison.refused[0].id == "too big");
  CHECK(comparison.refused[0].why.substr(0, 8) == "memory: ");
  CHECK(comparison.refused[1].id == "boundary");
  CHECK(comparison.refused[1].why.substr(0, 26) == "as measured, out of memory");
  CHECK(comparison.refused[2].id == "experts");
  CHECK(comparison.refused[2].why.substr(0, 7) == "model: ");
}

TEST_CASE("threads change nothing") {
  const Comparison one = compare(1), three = compare(3);
  REQUIRE(one.rows.size() == three.rows.size());
  for (std::size_t i = 0; i < one.rows.size(); ++i) {
    CHECK(one.rows[i].id == three.rows[i].id);
    CHECK(one.rows[i].predicted == three.rows[i].predicted);
  }
}
