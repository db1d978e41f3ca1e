#include "validate/residual_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "planner/report.h"
#include "planner/uncertainty.h"

namespace foretrain {
namespace {

constexpr double kDecile = 1.2816;
constexpr double kCovered = 0.8;

struct Weighted {
  double value, weight;
};

/// The smallest value such that at least `share` of the weight does not exceed it. 0 for none.
double quantile(std::vector<Weighted> values, double share) {
  if (values.empty()) return 0;
  std::stable_sort(values.begin(), values.end(),
                   [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0;
  for (const Weighted& v : values) total += v.weight;
  double sum = 0;
  for (const Weighted& v : values) {
    sum += v.weight;
    if (sum >= share * total) return v.value;
  }
  return values.back().value;
}

/// One run that could be predicted.
struct StepRow {
  std::string trainer, source, alike;  ///< residual_key; what plans that differ share
  double log_error = 0;                ///< log(measured / predicted)
  double carried = 0;                  ///< carried_log_sd
};

std::vector<StepRow> step_rows(const std::vector<RunRow>& runs, const ResidualSpec& residuals) {
  std::vector<StepRow> rows;
  for (const RunRow& run : runs) {
    if (!run.problem || !run.step || run.ran_out_of_memory) continue;
    const Problem& p = *run.problem;
    PlanReport report;
    try {
      report = evaluate(p, *p.plan);
    } catch (const SpecError&) {
      continue;  // compare says why
    }
    if (report.rejection) continue;
    StepRow row;
    row.trainer = residual_key(p.software, p.training.precision);
    row.source = run.source;
    row.alike =
        fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}", run.source, row.trainer, p.model.name, p.model.layers, p.model.hidden,
                    p.cluster.gpu.name, p.cluster.gpus, p.training.sequence_length, p.training.global_batch);
    row.log_error = std::log(*run.step / report.step);
    row.carried = carried_log_sd(residuals, p.cluster.gpu.name, report.time);
    rows.push_back(std::move(row));
  }
  return rows;
}

StepResidual residual_of(const std::vector<const StepRow*>& rows) {
  std::map<std::string, double> of_source;
  for (const StepRow* row : rows) of_source[row->source] += 1;
  const auto weight = [&](const StepRow* row) { return 1 / std::sqrt(of_source[row->source]); };
  std::vector<Weighted> errors, left;
  for (const StepRow* row : rows) errors.push_back({row->log_error, weight(row)});
  StepResidual residual;
  residual.rows = static_cast<std::int64_t>(rows.size());
  residual.log_bias = quantile(errors, 0.5);
  for (const StepRow* row : rows) {
    const double off = row->log_error - residual.log_bias, carried = kDecile * row->carried;
    left.push_back({std::max(0.0, off * off - carried * carried), weight(row)});
  }
  residual.log_width = std::sqrt(quantile(left, kCovered));
  return residual;
}

/// Spread of the rows about the mean of those alike, with one degree of freedom less for each such mean.
PartResidual ranking_of(const std::vector<StepRow>& rows) {
  std::map<std::string, std::vector<double>> groups;
  for (const StepRow& row : rows) groups[row.alike].push_back(row.log_error);
  PartResidual ranking;
  double squares = 0, freedom = 0;
  for (const auto& [alike, errors] : groups) {
    if (errors.size() < 2) continue;
    const double n = static_cast<double>(errors.size());
    const double mean = std::accumulate(errors.begin(), errors.end(), 0.0) / n;
    for (const double e : errors) squares += (e - mean) * (e - mean);
    freedom += n - 1;
    ranking.rows += static_cast<std::int64_t>(errors.size());
  }
  ranking.log_sd = freedom > 0 ? std::sqrt(squares / freedom) : 0;
  return ranking;
}

using Json = nlohmann::ordered_json;

double rounded(double value) { return std::round(value * 1e4) / 1e4; }

Json json_of(const PartResidual& r) { return {{"rows", r.rows}, {"log_sd", rounded(r.log_sd)}}; }
Json json_of(const StepResidual& r) {
  return {{"rows", r.rows}, {"log_bias", rounded(r.log_bias)}, {"log_width", rounded(r.log_width)}};
}
template <class Value>
Json json_of(const std::map<std::string, Value>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = json_of(value);
  return object;
}

}  // namespace

std::map<std::string, PartResidual> part_residuals(const std::vector<ComparisonRow>& rows, std::size_t together) {
  const std::string prefix = "gpu: ";
  std::map<std::string, std::vector<double>> ratios;  // measured / predicted
  for (const ComparisonRow& row : rows)
    for (const std::string& label : row.groups)
      if (label.starts_with(prefix)) ratios[label.substr(prefix.size())].push_back(row.measured / row.predicted);
  std::map<std::string, PartResidual> residuals;
  for (const auto& [gpu, values] : ratios) {
    const std::size_t in_set = std::min(together, values.size());
    std::vector<Weighted> errors;
    for (std::size_t first = 0; first + in_set <= values.size(); first += in_set) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
      const double sum = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(in_set), 0.0);
      errors.push_back({std::abs(std::log(sum / static_cast<double>(in_set))), 1});
    }
    residuals[gpu] = {static_cast<std::int64_t>(values.size()), quantile(errors, kCovered) / kDecile};
  }
  return residuals;
}

void fit_steps(const std::vector<RunRow>& runs, ResidualSpec& residuals) {
  const std::vector<StepRow> rows = step_rows(runs, residuals);
  std::map<std::string, std::vector<const StepRow*>> by_trainer;
  std::vector<const StepRow*> all;
  for (const StepRow& row : rows) {
    by_trainer[row.trainer].push_back(&row);
    all.push_back(&row);
  }
  residuals.steps.clear();
  for (const auto& [trainer, members] : by_trainer) residuals.steps[trainer] = residual_of(members);
  residuals.any_step = residual_of(all);
  residuals.ranking = ranking_of(rows);
}

std::string residuals_text(const ResidualSpec& r) {
  const Json document = {
      {"schema", "foretrain.residuals/1"},
      {"notes",
       "Written by foretrain_fit_residuals from validate/published; docs/models/uncertainty.md says what each number "
       "means."},
      {"kernels", json_of(r.kernels)},
      {"collectives", json_of(r.collectives)},
      {"steps", json_of(r.steps)},
      {"any_step", json_of(r.any_step)},
      {"ranking", json_of(r.ranking)}};
  return document.dump(1) + "\n";
}

}  // namespace foretrain
