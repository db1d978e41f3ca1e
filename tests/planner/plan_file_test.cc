#include "planner/plan_file.h"

#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

PlanReport report_of(std::int32_t tensor, double step) {
  PlanReport report;
  report.plan.tensor = tensor;
  report.plan.data = 4;
  report.plan.zero_stage = 1;
  report.step = step * seconds;
  report.mfu = 0.1 + 0.2;  // a double that short decimals do not hold
  MemoryAnatomy first, second;
  first[MemoryLabel::parameters] = 10;
  first.total = 10;
  second.stage = 1;
  second[MemoryLabel::parameters] = 30;
  second[MemoryLabel::activations] = 4;
  second.total = 34;
  report.stages = {first, second};
  report.peak_memory = 34.0 * bytes;
  report.memory_limit = 50.0 * bytes;
  report.time = {{"compute", 0.75 * step * seconds}, {"pipeline_bubble", 0.25 * step * seconds}};
  return report;
}

SearchResult two_plans() {
  SearchResult result;
  result.considered = 10;
  result.rejected[static_cast<std::size_t>(RejectionReason::memory)] = 5;
  result.cut_by_bound = 2;
  result.simulated = 3;
  result.plans = {report_of(2, 1.5), report_of(8, 1.0 / 3)};
  return result;
}

const std::string kJob = R"({"schema": "foretrain.job/1", "model": "llama-3.1-8b"})";

SpecNode written() { return SpecNode::parse(plan_file_text(kJob, two_plans(), "0.1.0"), "plan.json"); }

}  // namespace

TEST_CASE("a plan file that is read gives back what was written, bit for bit") {
  const PlanFile file = read_plan_file(written());
  CHECK(file.considered == 10);
  CHECK(file.cut_by_bound == 2);
  CHECK(file.simulated == 3);
  REQUIRE(file.rejected.size() == 1);
  CHECK(file.rejected[0].first == "memory");
  CHECK(file.rejected[0].second == 5);
  REQUIRE(file.plans.size() == 2);
  CHECK(file.plans[0].plan == report_of(2, 1.5).plan);
  CHECK(file.plans[1].plan == report_of(8, 1.0 / 3).plan);
  CHECK(file.plans[1].step.base() == 1.0 / 3);
  CHECK(file.plans[1].mfu == 0.1 + 0.2);
  CHECK(file.plans[0].memory_headroom.base() == 16);  // 50 - 34
  REQUIRE(file.plans[0].memory.size() == kMemoryLabelNames.size());
  CHECK(file.plans[0].memory[0].second == 30);  // of the fuller stage
  REQUIRE(file.plans[0].time.size() == 2);
  CHECK(file.plans[0].time[1].first == "pipeline_bubble");
  CHECK(file.plans[0].time[1].second.base() == 0.375);
}

TEST_CASE("the same result is written as the same bytes, with the keys that others rely on") {
  const std::string text = plan_file_text(kJob, two_plans(), "0.1.0");
  CHECK(text == plan_file_text(kJob, two_plans(), "0.1.0"));
  const SpecNode file = written();
  CHECK(file.keys() == std::vector<std::string>{"schema", "job", "foretrain", "calibration", "search", "plans"});
  CHECK(file.required("search").keys() ==
        std::vector<std::string>{"considered", "rejected", "cut_by_bound", "simulated", "stopped_early", "left_out"});
  const SpecNode plan = file.required("plans").items()[0];
  for (const char* key :
       {"rank", "plan", "feasible", "step_seconds", "tokens_per_second_per_gpu", "model_tflops_per_gpu", "mfu",
        "peak_memory_bytes", "memory_headroom_bytes", "stages", "time", "rank_map"})
    CHECK(plan.has(key));
  CHECK(plan.required("gpus_used").as_int() == 8);  // tensor 2 x data 4
}

TEST_CASE("a plan file says that its search was stopped, and one that does not say so is of a search that was not") {
  SearchResult result = two_plans();
  result.stopped_early = true;
  result.cut_by_bound = 0;
  result.left_out = 2;
  const SpecNode file = SpecNode::parse(plan_file_text(kJob, result, "0.1.0"), "plan.json");
  CHECK(read_plan_file(file).stopped_early);
  CHECK(read_plan_file(file).left_out == 2);
  const SpecNode silent = with_override(with_override(file, "search.stopped_early", "null"), "search.left_out", "null");
  CHECK_FALSE(read_plan_file(silent).stopped_early);
  CHECK(read_plan_file(silent).left_out == 0);
}

TEST_CASE("the job of a plan file takes the plan asked for") {
  const SpecNode job = job_with_plan(written(), 2);
  CHECK(job.required("model").as_string() == "llama-3.1-8b");
  CHECK(job.required("plan").required("tensor").as_int() == 8);
  CHECK_THROWS_AS(job_with_plan(written(), 3), SpecError);
  CHECK_THROWS_AS(job_with_plan(SpecNode::parse(kJob, "job.json"), 1), SpecError);
}

TEST_CASE("a plan that cannot work says so in its file") {
  PlanReport report = report_of(2, 1.5);
  report.rejection = Rejection{RejectionReason::memory, "does not fit", 12};
  const SearchResult result = as_search_result(report);
  CHECK(result.considered == 1);
  CHECK(result.rejected[static_cast<std::size_t>(RejectionReason::memory)] == 1);
  const SpecNode file = SpecNode::parse(plan_file_text(kJob, result, "0.1.0"), "plan.json");
  CHECK_FALSE(read_plan_file(file).plans[0].feasible);
  CHECK(file.required("plans").items()[0].required("rejection").required("reason").as_string() == "memory");
}
