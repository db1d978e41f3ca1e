#include <atomic>
#include <optional>

#include "foretrain/job_content.h"
#include "planner/plan_file.h"
#include "planner/search.h"
#include "planner/self_contained.h"

namespace foretrain {
namespace {

std::int64_t whole(Bytes size) { return static_cast<std::int64_t>(size.base()); }

StagePrediction prediction_of(const MemoryAnatomy& anatomy) {
  StagePrediction stage{anatomy.stage, anatomy.layers, anatomy.total, {}};
  for (std::size_t i = 0; i < kMemoryLabelNames.size(); ++i)
    stage.memory_bytes.emplace_back(kMemoryLabelNames[i], anatomy.by_label[i]);
  return stage;
}

Prediction prediction_of(const PlanReport& report) {
  Prediction p;
  p.text = to_text(report.plan);
  p.plan = to_json(report.plan);
  p.fits = !report.rejection.has_value();
  if (report.rejection) {
    p.refused_for = kRejectionNames[static_cast<std::size_t>(report.rejection->reason)];
    p.refusal = report.rejection->rule;
  }
  p.step_seconds = report.step.base();
  p.step_seconds_p10 = report.interval.low.base();
  p.step_seconds_p90 = report.interval.high.base();
  p.within_noise_of_best = report.near_best;
  p.tokens_per_second_per_gpu = report.tokens_per_second_per_gpu;
  p.model_tflops_per_gpu = report.model_tflops_per_gpu;
  p.mfu = report.mfu;
  p.gpus_used = gpus_used(report.plan);
  p.peak_memory_bytes = whole(report.peak_memory);
  p.memory_headroom_bytes = whole(report.memory_limit - report.peak_memory);
  for (const MemoryAnatomy& stage : report.stages) p.stages.push_back(prediction_of(stage));
  p.bounding_stage = report.bounding_stage;
  for (const TimePart& part : report.time) p.time_seconds.emplace_back(part.name, part.time.base());
  return p;
}

void check_plannable(const Problem& problem, const SpecNode& job) {
  if (!problem.model.not_plannable.empty()) job.required("model").fail(problem.model.not_plannable);
}

/// What `calibration` had to say about `plan`, where there is one; null: there is no plan that was simulated.
std::optional<CalibrationCoverage> coverage_of(const Problem& problem, const Plan* plan) {
  if (problem.calibration == nullptr) return {};
  return plan == nullptr ? calibration_coverage(*problem.calibration) : calibration_coverage(problem, *plan);
}

std::string document_of(const SpecNode& job, const Problem& problem, const SearchResult& result, const Plan* plan) {
  const std::optional<CalibrationCoverage> coverage = coverage_of(problem, plan);
  return plan_file_text(self_contained(job, problem.model.name), result, version(), coverage ? &*coverage : nullptr);
}

Ranking ranking_of(const SearchResult& result) {
  Ranking ranking;
  for (const PlanReport& report : result.plans) ranking.plans.push_back(prediction_of(report));
  ranking.considered = result.considered;
  ranking.cut_by_bound = result.cut_by_bound;
  ranking.simulated = result.simulated;
  ranking.left_out = result.left_out;
  for (std::size_t i = 0; i < kRejectionNames.size(); ++i)
    if (result.rejected[i] > 0) ranking.refused.emplace_back(kRejectionNames[i], result.rejected[i]);
  ranking.stopped_early = result.stopped_early;
  if (result.nearest_miss) ranking.nearest_miss = prediction_of(*result.nearest_miss);
  return ranking;
}

SearchResult search_with(const SearchSettings& settings, const Problem& problem) {
  if (settings.top < 1) throw SpecError("SearchSettings::top", "expected at least 1");
  if (settings.threads < 0) throw SpecError("SearchSettings::threads", "expected 0 or more");
  std::atomic<bool> stop = false;
  SearchOptions options;
  options.top = settings.top;
  options.threads = settings.threads;
  options.stop = &stop;
  if (settings.progress)
    options.progress = [&](std::int64_t done, std::int64_t of) {
      if (!settings.progress(done, of)) stop = true;
    };
  return search(problem, options);
}

}  // namespace

Ranking plan(const Job& job, const SearchSettings& settings) {
  return with_own_errors([&] {
    const SpecNode& document = JobContent::document(job);
    Problem problem = load_search_problem(document, Catalogue::load());
    problem.calibration = calibration_in(settings.calibration);
    check_plannable(problem, document);
    const SearchResult result = search_with(settings, problem);
    Ranking ranking = ranking_of(result);
    ranking.json = document_of(document, problem, result, result.plans.empty() ? nullptr : &result.plans.front().plan);
    return ranking;
  });
}

Simulation simulate(const Job& job, const std::string& calibration) {
  return with_own_errors([&] {
    const SpecNode& document = JobContent::document(job);
    Problem problem = load_problem(document, Catalogue::load());
    problem.calibration = calibration_in(calibration);
    check_plannable(problem, document);
    if (!problem.plan) document.fail("key \"plan\" is missing: it holds the one plan to predict");
    const PlanReport report = evaluate(problem, *problem.plan, {.even_if_too_big = true});
    const Plan* simulated = report.step.base() > 0 ? &report.plan : nullptr;
    return Simulation{prediction_of(report), document_of(document, problem, as_search_result(report), simulated)};
  });
}

}  // namespace foretrain
