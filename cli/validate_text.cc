#include "cli/validate_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/compare_text.h"
#include "cli/plan_text.h"
#include "hwmodels/kernel_json.h"
#include "validate/device/compare_measured.h"

namespace foretrain::cli {
namespace {

using Json = nlohmann::ordered_json;

// Assumed: reading the graph, allocating tens of GB and filling them with random numbers.
constexpr Seconds kStepSetUp = 5 * seconds;
constexpr int kStepWarmUp = 2;

std::string bytes_text(std::int64_t count) { return to_text(static_cast<double>(count) * bytes); }

std::int64_t most_needed(const ValidationPlan& v, bool kernels) {
  std::int64_t most = 0;
  for (const DistinctWork& w : v.works)
    if (is_kernel(w) == kernels) most = std::max(most, w.needed);
  return most;
}

std::string kernels_table(const ValidationPlan& v) {
  TextTable table{{"kernel", "runs", "in a step", "alone", "GPU memory"}, {}, {false, true, true, true, true}};
  for (const DistinctWork& w : v.works) {
    if (!is_kernel(w)) continue;
    table.rows.push_back({describe(w.work, 1), fmt::format("{}x", w.count), to_text(to_seconds(w.in_step)),
                          to_text(to_seconds(w.alone)), bytes_text(w.needed)});
  }
  return to_text(table);
}

std::string collectives_table(const ValidationPlan& v) {
  TextTable table{{"collective", "group", "runs", "alone", "GPU memory"}, {}, {false, false, true, true, true}};
  for (const DistinctWork& w : v.works) {
    const auto* message = std::get_if<MessageWork>(&w.work);
    if (message == nullptr) continue;
    table.rows.push_back({describe(w.work, w.ranks),
                          std::string(kWorkGroupNames[static_cast<std::size_t>(message->group)]),
                          fmt::format("{}x", w.count), to_text(to_seconds(w.alone)), bytes_text(w.needed)});
  }
  return to_text(table);
}

std::string who_runs(const ValidationPlan& v) {
  if (!v.rank) return fmt::format("all {} ranks", gpus_used(v.report->plan));
  return fmt::format("rank {} (stage {}) by itself", *v.rank, v.stage);
}

Json sample_json(const DistinctWork& w) {
  Json entry;
  if (const auto* kernel = std::get_if<Kernel>(&w.work)) {
    entry["work"] = Json::parse(kernel_json(*kernel));
  } else {
    const auto& m = std::get<MessageWork>(w.work);
    entry["op"] = kCollectiveNames[static_cast<std::size_t>(m.op)];
    entry["bytes"] = m.bytes;
    entry["ranks"] = w.ranks;
    entry["ranks_per_node"] = w.group.ranks_per_node;
    entry["group"] = kWorkGroupNames[static_cast<std::size_t>(m.group)];
  }
  entry["count"] = w.count;
  entry["in_step_seconds"] = to_seconds(w.in_step).base();
  entry["alone_seconds"] = to_seconds(w.alone).base();
  entry["needed_bytes"] = w.needed;
  return entry;
}

Json rank_json(const ValidationPlan& v) { return v.rank ? Json(*v.rank) : Json(); }

}  // namespace

MeasuringTimes measuring_times(const ValidationPlan& v) {
  MeasuringTimes t;
  for (const DistinctWork& w : v.works) {
    const Seconds time = measuring_time(w, v.problem->cluster.gpu, v.samples);
    if (is_kernel(w) && v.kernels) t.kernels += time;
    if (!is_kernel(w) && v.collectives) t.collectives += time;
  }
  if (v.steps && v.step_fits) t.steps = kStepSetUp + static_cast<double>(v.step_samples + kStepWarmUp) * v.step;
  return t;
}

std::string dry_run_text(const ValidationPlan& v) {
  std::string text = describe(*v.problem) + "\n" + to_text(v.report->plan) + "\n";
  const MeasuringTimes t = measuring_times(v);
  const auto seconds_text = [](Seconds s) { return fmt::format("{:.1f} s", s.base()); };
  if (v.kernels)
    text += fmt::format("\n{}These kernels take {} to measure and {} of GPU memory.\n", kernels_table(v),
                        seconds_text(t.kernels), bytes_text(most_needed(v, true)));
  if (v.collectives) {
    const bool any = std::any_of(v.works.begin(), v.works.end(), [](const DistinctWork& w) { return !is_kernel(w); });
    if (!any) {
      text += "\nThe plan has no collectives.\n";
    } else {
      text += fmt::format("\n{}These collectives take {} to measure, and GPUs for every rank of their groups.\n",
                          collectives_table(v), seconds_text(t.collectives));
    }
  }
  if (v.steps) {
    text += fmt::format("\nA step of {} takes {} and {} of GPU memory", who_runs(v), step_text(v.step),
                        bytes_text(v.step_memory));
    text += v.step_fits ? fmt::format("; {} of them take {}.\n", v.step_samples, seconds_text(t.steps))
                        : fmt::format(", of which there are {}: it cannot run.\n", to_text(v.report->memory_limit));
  }
  return text + fmt::format("\nAll of it takes about {}.\n", seconds_text(t.kernels + t.collectives + t.steps));
}

std::string dry_run_json(const ValidationPlan& v) {
  const MeasuringTimes t = measuring_times(v);
  Json document = {{"plan", Json::parse(to_json(v.report->plan))},
                   {"gpu", v.problem->cluster.gpu.name},
                   {"rank", rank_json(v)},
                   {"kernels", Json::array()},
                   {"collectives", Json::array()}};
  for (const DistinctWork& w : v.works) document[is_kernel(w) ? "kernels" : "collectives"].push_back(sample_json(w));
  document["step"] = {{"predicted_seconds", v.step.base()},
                      {"peak_memory_bytes", v.step_memory},
                      {"fits", v.step_fits},
                      {"samples", v.step_samples}};
  document["measuring_seconds"] = {
      {"kernels", t.kernels.base()}, {"collectives", t.collectives.base()}, {"steps", t.steps.base()}};
  return document.dump(2) + "\n";
}

std::string checks_text(const std::vector<MeasuredCheck>& checks) {
  if (checks.empty()) return {};
  std::string text;
  std::int64_t passed = 0;
  for (const MeasuredCheck& c : checks) {
    passed += c.passed ? 1 : 0;
    if (!c.passed) text += fmt::format("wrong: {}{}{}\n", c.name, c.detail.empty() ? "" : ": ", c.detail);
  }
  return text + fmt::format("{} of {} checks of parallel execution passed.\n", passed, checks.size());
}

std::string validation_json(const ValidationPlan& v, const MeasuredRun& run, const Comparison& comparison) {
  Json document = {{"plan", Json::parse(to_json(v.report->plan))},
                   {"predicted_for", v.problem->cluster.gpu.name},
                   {"device", run.gpu},
                   {"rank", rank_json(v)},
                   {"calibration", v.problem->calibration == nullptr ? Json() : Json(v.problem->calibration->name)},
                   {"complete", run.complete}};
  const Json compared = Json::parse(comparison_json(comparison));
  for (const auto& entry : compared.items()) document[entry.key()] = entry.value();
  document["checks"] = Json::array();
  for (const MeasuredCheck& c : run.checks)
    document["checks"].push_back({{"name", c.name}, {"passed", c.passed}, {"detail", c.detail}});
  return document.dump(2) + "\n";
}

}  // namespace foretrain::cli
