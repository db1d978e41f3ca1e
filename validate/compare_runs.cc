#include "validate/compare_runs.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/check.h"
#include "base/text.h"
#include "planner/calibration_coverage.h"

namespace foretrain {
namespace {

/// A run is inside of what was measured when all of its kernels and messages are.
std::string calibration_group(const Problem& problem) {
  const CalibrationCoverage c = calibration_coverage(problem, *problem.plan);
  if (c.outside_count + c.not_measured_count == 0) return calibration_group(CalibrationUse::inside);
  if (c.inside + c.outside_count == 0) return calibration_group(CalibrationUse::none);
  return "calibration: in part";
}

std::vector<std::string> groups_of(const RunRow& row) {
  const Problem& p = *row.problem;
  std::vector<std::string> groups = {
      "source:" + row.source, "gpu:" + p.cluster.gpu.name,
      fmt::format("precision:{}", kPrecisionNames[static_cast<std::size_t>(p.training.precision)]),
      fmt::format("framework:{}", kFrameworkNames[static_cast<std::size_t>(p.software.framework)])};
  if (!row.grade.empty()) groups.push_back("grade:" + row.grade);
  if (p.calibration != nullptr) groups.push_back(calibration_group(p));
  return groups;
}

/// Why a rejected plan is refused: "memory: 1.20 GB missing on stage 0".
std::string reason_of(const PlanReport& report) {
  const Rejection& rejection = *report.rejection;
  const std::string_view reason = kRejectionNames[static_cast<std::size_t>(rejection.reason)];
  if (rejection.reason != RejectionReason::memory) return fmt::format("{}: {}", reason, rejection.rule);
  return fmt::format("memory: {} needed, {} there", to_text(report.peak_memory), to_text(report.memory_limit));
}

/// What one row comes to.
Comparison compare_row(const RunRow& row) {
  const auto refuse = [&](const std::string& why) { return Comparison{{}, {{row.id, why}}}; };
  if (!row.problem) return refuse(row.refusal);
  PlanReport report;
  try {
    report = evaluate(*row.problem, *row.problem->plan);
  } catch (const SpecError& error) {
    return refuse(error.what());
  }
  if (row.ran_out_of_memory) {
    if (report.rejection) return refuse("as measured, out of memory; predicted " + reason_of(report));
    return refuse(fmt::format("out of memory when run, but predicted to fit: {} of {}", to_text(report.peak_memory),
                              to_text(report.memory_limit)));
  }
  if (report.rejection) return refuse(reason_of(report));
  Comparison result;
  if (row.step)
    result.rows.push_back({row.id, "step_seconds", groups_of(row), report.step.base(), row.step->base(),
                           report.interval.low.base(), report.interval.high.base()});
  if (row.peak_memory) {
    const Bytes predicted = measured_memory(report, row.memory);
    result.rows.push_back({row.id, "peak_memory_bytes", groups_of(row), predicted.base(), row.peak_memory->base()});
  }
  FORETRAIN_CHECK(!result.rows.empty());
  return result;
}

}  // namespace

Bytes measured_memory(const PlanReport& report, const MemoryMeasure& measure) {
  FORETRAIN_CHECK(!report.stages.empty());
  const auto counted = [&](const MemoryAnatomy& stage) {
    const std::int64_t all = stage.total + stage.pool_growth;
    if (measure.counts == MemoryMeasure::Counts::device) return all;
    const std::int64_t pool = all - stage[MemoryLabel::cuda_context] - stage[MemoryLabel::communication];
    if (measure.counts == MemoryMeasure::Counts::reserved) return pool;
    return pool - stage[MemoryLabel::allocator] - stage.pool_growth;
  };
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < report.stages.size(); ++i) {
    const bool first = i == 0, last = i + 1 == report.stages.size();
    if (measure.where == MemoryMeasure::Where::last_stage && !last) continue;
    if (measure.where == MemoryMeasure::Where::first_or_last_stage && !first && !last) continue;
    largest = std::max(largest, counted(report.stages[i]));
  }
  return static_cast<double>(largest) * bytes;
}

Comparison compare_runs(const std::vector<RunRow>& rows, std::int32_t threads) {
  std::vector<Comparison> parts(rows.size());  // [row]
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < rows.size(); i = next++) parts[i] = compare_row(rows[i]);
  };
  {
    const auto cores = static_cast<std::int32_t>(std::max(1U, std::thread::hardware_concurrency()));
    std::vector<std::jthread> workers;
    for (std::int32_t i = 1; i < (threads > 0 ? threads : cores); ++i) workers.emplace_back(work);
    work();
  }
  Comparison all;
  for (Comparison& part : parts) append(all, std::move(part));
  return all;
}

}  // namespace foretrain
