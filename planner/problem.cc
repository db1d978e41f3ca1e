#include "planner/problem.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain {
namespace {

/// The folder that relative paths in `node`'s file start from.
std::string folder_of(const SpecNode& node) { return std::filesystem::path(node.file()).parent_path().string(); }

/// The formats that the GPU multiplies in, for messages.
std::string formats_of(const GpuSpec& gpu) {
  std::string names;
  for (std::size_t i = 0; i < kDTypeNames.size(); ++i) {
    if (gpu.peak[i]) names += (names.empty() ? "" : ", ") + std::string(kDTypeNames[i]);
  }
  return names;
}

void check_precision(const SpecNode& training, const GpuSpec& gpu, Precision precision) {
  if (is_supported(gpu, precision)) return;
  const SpecNode& at = training.has("precision") ? training.required("precision") : training;
  at.fail(fmt::format("{} cannot multiply matrices in {}; its formats: {}", gpu.name,
                      kPrecisionNames[static_cast<std::size_t>(precision)], formats_of(gpu)));
}

/// A learned position table is as long as the sequence unless the model says otherwise, and never shorter.
void check_positions(const SpecNode& training, std::int64_t sequence_length, ModelSpec& model) {
  if (model.position != PositionKind::learned) return;
  if (model.max_positions == 0) model.max_positions = sequence_length;
  if (sequence_length > model.max_positions) {
    training.required("sequence_length")
        .fail_expected(fmt::format("at most the model's {} learned positions", model.max_positions));
  }
}

/// A step that takes more than a day at the full speed of every GPU is a slip of the pen.
void check_size(const SpecNode& training, const Problem& problem) {
  const Training& t = problem.training;
  const double tokens = static_cast<double>(t.global_batch) * static_cast<double>(t.sequence_length);
  FlopsPerSecond fastest;
  for (const auto& rate : problem.cluster.gpu.peak) fastest = max(fastest, rate.value_or(FlopsPerSecond{}));
  const Seconds step =
      model_flops(problem.model, tokens, t.sequence_length) / (static_cast<double>(problem.cluster.gpus) * fastest);
  constexpr Seconds kMost = 86400.0 * seconds;
  if (step > kMost) {
    training.fail(fmt::format("a step of {:.3g} tokens takes {:.3g} days at the peak of {} GPUs; expected at most one",
                              tokens, step / kMost, problem.cluster.gpus));
  }
}

void check_stage_layers(const SpecNode& at, const std::vector<std::int32_t>& stage_layers, std::int64_t layers) {
  if (stage_layers.empty()) return;
  const std::int64_t sum = std::accumulate(stage_layers.begin(), stage_layers.end(), std::int64_t{0});
  if (sum != layers) at.required("stage_layers").fail(fmt::format("sums to {}; the model has {} layers", sum, layers));
}

void check_experts(const SpecNode& at, const Plan& plan, const ModelSpec& model) {
  if (model.moe) {
    if (model.moe->experts % plan.expert != 0) {
      at.required("expert").fail_expected(fmt::format("a divisor of the model's {} experts", model.moe->experts));
    }
    return;
  }
  if (plan.expert > 1) at.required("expert").fail("the model has no experts");
}

/// Everything but `search` and `plan`, which jobs and runs treat differently.
Problem load_shared(const SpecNode& node, const Catalogue& catalogue) {
  Problem problem;
  problem.model = load_model(node.required("model"), folder_of(node));
  problem.cluster = catalogue.cluster(node.required("cluster"));
  problem.efficiency = catalogue.efficiency(problem.cluster.gpu);
  problem.residuals = catalogue.residuals();
  const SpecNode training = node.required("training");
  problem.training = read_training(training);
  if (const auto software = node.optional("software")) problem.software = read_software(*software);
  check_precision(training, problem.cluster.gpu, problem.training.precision);
  check_positions(training, problem.training.sequence_length, problem.model);
  check_size(training, problem);
  problem.job_json = node.dump();
  return problem;
}

void load_plan(const SpecNode& node, Problem& problem) {
  const Plan plan = read_plan(node, problem.software, problem.cluster.gpus);
  check_stage_layers(node, plan.stage_layers, problem.model.layers);
  check_experts(node, plan, problem.model);
  problem.plan = plan;
}

void check_schema(const SpecNode& node, std::string_view expected) {
  const auto schema = node.optional("schema");
  if (schema && schema->as_string() != expected) schema->fail_expected(in_quotes(expected));
}

/// Rows of published runs may carry more keys than we read, which inform a reader; but none that looks like one of
/// ours.
void refuse_misspelt_keys(const SpecNode& run) {
  constexpr std::array<std::string_view, 12> kRunKeys = {"id",       "source", "model",     "cluster",
                                                         "training", "plan",   "software",  "measured",
                                                         "grade",    "notes",  "plan_note", "confidence"};
  for (const std::string& key : run.keys()) {
    if (std::find(kRunKeys.begin(), kRunKeys.end(), key) != kRunKeys.end()) continue;
    const std::string near = nearest_name(key, kRunKeys);
    if (!near.empty()) run.fail(fmt::format("unknown key {}; did you mean {}?", in_quotes(key), in_quotes(near)));
  }
}

}  // namespace

bool is_supported(const GpuSpec& gpu, Precision precision) {
  if (precision == Precision::fp32) return peak(gpu, DType::tf32) || peak(gpu, DType::fp32);
  // Block-scaled MX formats came to tensor cores together with 4-bit floats (Blackwell, CDNA 4).
  if (precision == Precision::mxfp8 && !peak(gpu, DType::fp4)) return false;
  return peak(gpu, gemm_dtype(precision)).has_value();
}

namespace {
/// Everything but the job's own plan.
Problem load_but_plan(const SpecNode& job, const Catalogue& catalogue) {
  if (!job.is_object()) job.fail_expected("an object: a job");
  check_schema(job, "foretrain.job/1");
  job.allow_only({"schema", "$schema", "name", "notes", "model", "cluster", "training", "software", "search", "plan"});
  Problem problem = load_shared(job, catalogue);
  if (const auto search = job.optional("search")) {
    problem.search = read_search(*search);
    check_stage_layers(*search, problem.search.base.stage_layers, problem.model.layers);
    check_experts(*search, problem.search.base, problem.model);
  }
  return problem;
}
}  // namespace

Problem load_problem(const SpecNode& job, const Catalogue& catalogue) {
  Problem problem = load_but_plan(job, catalogue);
  if (const auto plan = job.optional("plan")) load_plan(*plan, problem);
  return problem;
}

Problem load_search_problem(const SpecNode& job, const Catalogue& catalogue) {
  Problem problem = load_but_plan(job, catalogue);
  if (const auto plan = job.optional("plan")) check_form_of_plan(*plan, problem.software);
  return problem;
}

namespace {
/// A run's plan may leave out that its trainer counted embedding and loss as layers. Where only that lets the layers
/// divide (Llama-3.1-405B: 126 + 2), the run did count them: Megatron-LM would not have started otherwise.
void count_ends_where_layers_need_it(Problem& problem) {
  Plan& plan = *problem.plan;
  const std::int64_t stages = std::int64_t{plan.pipeline} * plan.virtual_pipeline;
  if (stages == 1 || !plan.stage_layers.empty() || problem.model.layers % stages == 0) return;
  if ((problem.model.layers + 2) % stages == 0) plan.account_for_embedding = plan.account_for_loss = true;
}
}  // namespace

Problem load_run(const SpecNode& run, const Catalogue& catalogue) {
  refuse_misspelt_keys(run);
  Problem problem = load_shared(run, catalogue);
  if (const auto notes = run.optional("notes"); notes && notes->is_string())
    problem.software.notes = notes->as_string();
  load_plan(run.required("plan"), problem);
  count_ends_where_layers_need_it(problem);
  return problem;
}

}  // namespace foretrain
