#include "planner/plan_file.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "planner/launch_rules.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSchema = "foretrain.plan/1";
constexpr RealRange kAnyNumber = {0, 1e18};
constexpr IntRange kAnyCount = {0, 9'000'000'000'000'000};

Json stage_json(const MemoryAnatomy& stage) {
  Json memory = Json::object();
  for (std::size_t i = 0; i < kMemoryLabelNames.size(); ++i)
    memory[std::string(kMemoryLabelNames[i])] = stage.by_label[i];
  return {{"stage", stage.stage},
          {"layers", stage.layers},
          {"peak_memory_bytes", stage.total},
          {"pool_growth_bytes", stage.pool_growth},
          {"memory", memory}};
}

Json stages_json(const PlanReport& report) {
  Json stages = Json::array();
  for (const MemoryAnatomy& stage : report.stages) stages.push_back(stage_json(stage));
  return stages;
}

std::int64_t whole(Bytes size) { return static_cast<std::int64_t>(size.base()); }

Json faults_json(const FaultReport& report, Seconds step) {
  Json each = Json::array();
  for (const FaultCost& fault : report.faults) {
    Json slows = Json::array();
    for (const SlowGroups& groups : fault.slows)
      slows.push_back({{"kind", groups.kind}, {"numbers", groups.groups}, {"share", groups.share}});
    each.push_back(
        {{"fault", fault.name}, {"share", fault.share}, {"cost_seconds", fault.cost.base()}, {"slows", slows}});
  }
  const Seconds cost = step - report.healthy_step;
  return {{"healthy_step_seconds", report.healthy_step.base()},
          {"cost_seconds", cost.base()},
          {"cost_fraction", cost / report.healthy_step},
          {"each", each}};
}

Json plan_json(const PlanReport& report, std::size_t rank) {
  Json time = Json::object();
  for (const TimePart& part : report.time) time[part.name] = part.time.base();
  Json plan = {{"rank", rank},
               {"plan", parse_json(to_json(report.plan), "plan")},
               {"feasible", !report.rejection.has_value()},
               {"step_seconds", report.step.base()},
               {"step_seconds_p10", report.interval.low.base()},
               {"step_seconds_p90", report.interval.high.base()},
               {"within_noise_of_best", report.near_best},
               {"tokens_per_second_per_gpu", report.tokens_per_second_per_gpu},
               {"model_tflops_per_gpu", report.model_tflops_per_gpu},
               {"mfu", report.mfu},
               {"peak_memory_bytes", whole(report.peak_memory)},
               {"memory_headroom_bytes", whole(report.memory_limit - report.peak_memory)},
               {"stages", stages_json(report)},
               {"time", time},
               {"bounding_stage", report.bounding_stage},
               {"gpus_used", gpus_used(report.plan)},
               {"rank_map", {{"order", report.plan.rank_order}}}};
  if (report.faults) plan["faults"] = faults_json(*report.faults, report.step);
  if (report.rejection) {
    const Rejection& rejection = *report.rejection;
    plan["rejection"] = {{"reason", kRejectionNames[static_cast<std::size_t>(rejection.reason)]},
                         {"rule", rejection.rule},
                         {"excess", rejection.excess}};
  }
  return plan;
}

Json calibration_json(const CalibrationCoverage& c) {
  return {{"name", c.name},
          {"sha256", c.sha256},
          {"inside", c.inside},
          {"outside", c.outside},
          {"not_measured", c.not_measured}};
}

/// How many plans each launch rule of `trainer` refused; rules that refused none are left out.
Json launch_rules_json(const SearchResult& result, Trainer trainer) {
  Json counts = Json::object();
  const std::span<const LaunchRule> rules = launch_rules(trainer);
  for (std::size_t i = 0; i < result.rejected_by_launch_rule.size(); ++i)
    if (result.rejected_by_launch_rule[i] > 0) counts[std::string(rules[i].text)] = result.rejected_by_launch_rule[i];
  return counts;
}

StoredPlan read_stored(const SpecNode& entry, const Plan& plan) {
  StoredPlan stored;
  stored.plan = plan;
  stored.feasible = entry.required("feasible").as_bool();
  stored.step = entry.required("step_seconds").as_real(kAnyNumber) * seconds;
  stored.mfu = entry.required("mfu").as_real(kAnyNumber);
  stored.peak_memory = static_cast<double>(entry.required("peak_memory_bytes").as_int(kAnyCount)) * bytes;
  const RealRange signed_number = {-kAnyNumber.most, kAnyNumber.most};
  stored.memory_headroom = entry.required("memory_headroom_bytes").as_real(signed_number) * bytes;
  const SpecNode time = entry.required("time");
  for (const std::string& label : time.keys())
    stored.time.emplace_back(label, time.required(label).as_real(kAnyNumber) * seconds);
  std::int64_t fullest = -1;
  for (const SpecNode& stage : entry.required("stages").items()) {
    const std::int64_t total = stage.required("peak_memory_bytes").as_int(kAnyCount);
    if (total <= fullest) continue;
    fullest = total;
    stored.memory.clear();
    const SpecNode memory = stage.required("memory");
    for (const std::string& label : memory.keys())
      stored.memory.emplace_back(label, memory.required(label).as_int(kAnyCount));
  }
  return stored;
}

void check_schema(const SpecNode& file) {
  const SpecNode schema = file.required("schema");
  if (!is_plan_file(file)) schema.fail_expected(fmt::format("\"{}\", as foretrain plan -o writes", kSchema));
}

}  // namespace

std::string plan_file_text(std::string_view job_json, const SearchResult& result, std::string_view version,
                           const CalibrationCoverage* calibration, const std::optional<Trainer>& trainer) {
  Json rejected = Json::object();
  for (std::size_t i = 0; i < kRejectionNames.size(); ++i)
    if (result.rejected[i] > 0) rejected[std::string(kRejectionNames[i])] = result.rejected[i];
  Json document = {{"schema", kSchema},
                   {"job", parse_json(job_json, "job")},
                   {"foretrain", version},
                   {"calibration", calibration == nullptr ? Json() : calibration_json(*calibration)},
                   {"search",
                    {{"considered", result.considered},
                     {"rejected", rejected},
                     {"cut_by_bound", result.cut_by_bound},
                     {"simulated", result.simulated},
                     {"stopped_early", result.stopped_early},
                     {"left_out", result.left_out}}},
                   {"plans", Json::array()}};
  if (trainer) {
    document["search"]["trainer"] = kTrainerNames[static_cast<std::size_t>(*trainer)];
    document["search"]["rejected_by_launch_rule"] = launch_rules_json(result, *trainer);
  }
  for (std::size_t i = 0; i < result.plans.size(); ++i) document["plans"].push_back(plan_json(result.plans[i], i + 1));
  if (result.nearest_miss) document["nearest_miss"] = plan_json(*result.nearest_miss, 0);
  return document.dump(2) + "\n";
}

std::string memory_file_text(const PlanReport& report) {
  const Json document = {{"plan", parse_json(to_json(report.plan), "plan")},
                         {"fits", !report.rejection.has_value()},
                         {"memory_limit_bytes", whole(report.memory_limit)},
                         {"peak_memory_bytes", whole(report.peak_memory)},
                         {"stages", stages_json(report)}};
  return document.dump(2) + "\n";
}

SearchResult as_search_result(PlanReport report) {
  SearchResult result;
  result.considered = 1;
  result.simulated = 1;
  if (report.rejection) {
    result.rejected[static_cast<std::size_t>(report.rejection->reason)] = 1;
    result.simulated = report.step.base() > 0 ? 1 : 0;
  }
  result.plans.push_back(std::move(report));
  return result;
}

bool is_plan_file(const SpecNode& file) {
  if (!file.is_object() || !file.has("schema")) return false;
  const SpecNode schema = file.required("schema");
  return schema.is_string() && schema.as_string() == kSchema;
}

PlanFile read_plan_file(const SpecNode& file) {
  check_schema(file);
  PlanFile read;
  const SpecNode search = file.required("search");
  read.considered = search.required("considered").as_int(kAnyCount);
  read.cut_by_bound = search.required("cut_by_bound").as_int(kAnyCount);
  read.simulated = search.required("simulated").as_int(kAnyCount);
  if (const auto stopped = search.optional("stopped_early")) read.stopped_early = stopped->as_bool();
  if (const auto left_out = search.optional("left_out")) read.left_out = left_out->as_int(kAnyCount);
  const SpecNode rejected = search.required("rejected");
  for (const std::string& reason : rejected.keys())
    read.rejected.emplace_back(reason, rejected.required(reason).as_int(kAnyCount));
  for (const SpecNode& entry : file.required("plans").items()) {
    const SpecNode plan = entry.required("plan");
    // A stored plan names every degree, so its GPUs are the product of them.
    std::int64_t gpus = 1;
    for (const char* degree : {"tensor", "pipeline", "data", "context"}) {
      gpus *= plan.required(degree).as_int({1, 1'000'000});
      if (gpus > 1'000'000'000) plan.fail("more than 1e9 GPUs");
    }
    read.plans.push_back(read_stored(entry, read_plan(plan, {}, gpus)));
  }
  return read;
}

SpecNode job_with_plan(const SpecNode& file, std::int32_t number) {
  check_schema(file);
  const std::vector<SpecNode> plans = file.required("plans").items();
  if (number < 1 || static_cast<std::size_t>(number) > plans.size())
    throw SpecError(file.where(), fmt::format("there is no plan {}: the file holds {}", number, plans.size()));
  const SpecNode plan = plans[static_cast<std::size_t>(number - 1)].required("plan");
  return with_override(file.required("job"), "plan", plan.dump());
}

}  // namespace foretrain
