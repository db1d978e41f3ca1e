#include "validate/run_rows.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/text.h"
#include "validate/flop_convention.h"
#include "validate/noted_facts.h"

namespace foretrain {
namespace {

constexpr std::string_view kSchema = "foretrain.runs/1";

/// A key whose value names a choice. A name that is none of ours makes us refuse the row; one that looks like one of
/// ours misspelt is left to the loader, which refuses the file.
struct NamedChoice {
  std::string_view object, key, what;
  std::span<const std::string_view> names;
};
constexpr std::array kNamedChoices = {
    NamedChoice{"software", "framework", "framework", kFrameworkNames},
    NamedChoice{"software", "attention", "attention", kAttentionNames},
    NamedChoice{"training", "precision", "precision", kPrecisionNames},
    NamedChoice{"plan", "schedule", "schedule", kScheduleNames},
    NamedChoice{"plan", "recompute", "recomputation", kRecomputeNames},
    NamedChoice{"plan", "context_kind", "context parallelism", kContextKindNames},
};

/// Why the row names something that we do not model; "" when it does not.
std::string unknown_name(const SpecNode& run, const Catalogue& catalogue) {
  for (const NamedChoice& choice : kNamedChoices) {
    const std::optional<SpecNode> object = run.optional(choice.object);
    if (!object || !object->is_object()) continue;
    const std::optional<SpecNode> value = object->optional(choice.key);
    if (!value || !value->is_string()) continue;
    const std::string name = value->as_string();
    const auto same = [&](std::string_view known) { return to_lower(known) == to_lower(name); };
    if (std::any_of(choice.names.begin(), choice.names.end(), same)) continue;
    if (nearest_name(name, choice.names).empty())
      return fmt::format("{} {} is not modelled", choice.what, in_quotes(name));
  }
  const std::optional<SpecNode> cluster = run.optional("cluster");
  const std::optional<SpecNode> gpu = cluster && cluster->is_object() ? cluster->optional("gpu") : std::nullopt;
  if (!gpu || !gpu->is_string()) return "";
  const std::string name = gpu->as_string();
  try {
    static_cast<void>(catalogue.gpu(name, gpu->where()));
  } catch (const SpecError&) {
    std::vector<std::string> names;
    for (const GpuSpec& known : catalogue.gpus()) names.push_back(known.name);
    if (nearest_name(name, names).empty()) return fmt::format("GPU {} is not in the catalogue", in_quotes(name));
  }
  return "";
}

/// Why the row's GPU cannot do what its run did; "" when it can, or when that cannot be told yet.
std::string unsupported_precision(const SpecNode& run, const Catalogue& catalogue) {
  const SpecNode cluster = run.required("cluster");
  if (!cluster.is_object() || !cluster.has("gpu")) return "";
  const SpecNode training = run.required("training");
  if (!training.is_object() || !training.has("precision")) return "";
  const SpecNode gpu = cluster.required("gpu"), precision = training.required("precision");
  if (!gpu.is_string() || !precision.is_string()) return "";
  const GpuSpec& spec = catalogue.gpu(gpu.as_string(), gpu.where());
  const auto wanted = static_cast<Precision>(precision.as_choice(kPrecisionNames, "precision"));
  if (is_supported(spec, wanted)) return "";
  return fmt::format("precision: {} has no {}", spec.name, kPrecisionNames[static_cast<std::size_t>(wanted)]);
}

/// A run whose layers do not divide over its virtual stages, but would with two more, counted embedding and loss as
/// layers where its plan does not say how they were dealt. Source: Llama-3.1-405B (126 layers) in Megatron-Bridge and
/// MLPerf v5.1 (account_for_embedding_in_pipeline_split, account_for_loss_in_pipeline_split), and torchtitan's 405B
/// runs.
void deal_odd_layers(const SpecNode& plan_node, const ModelSpec& model, Plan& plan) {
  if (plan_node.has("stage_layers") || plan_node.has("account_for_embedding") || plan_node.has("account_for_loss"))
    return;
  const std::int64_t chunks = std::int64_t{plan.pipeline} * plan.virtual_pipeline;
  if (model.layers % chunks == 0 || (model.layers + 2) % chunks != 0) return;
  plan.account_for_embedding = true;
  plan.account_for_loss = true;
}

/// nanotron deals its blocks to stages by cost, the head counting as much as its share of a layer's multiplications: a
/// stage takes blocks until its share of the whole is exceeded. Source: huggingface/nanotron c2528430
/// src/nanotron/models/base.py (build_model), models/llama.py (get_block_compute_costs).
void deal_by_cost(const SpecNode& plan_node, Problem& problem) {
  Plan& plan = *problem.plan;
  if (problem.software.framework != FrameworkKind::nanotron || plan.pipeline == 1 || plan_node.has("stage_layers"))
    return;
  const ModelSpec& m = problem.model;
  const double layer =
      4.0 * static_cast<double>(m.heads * m.head_dim * m.hidden) + 3.0 * static_cast<double>(m.ffn_hidden * m.hidden);
  const double head = static_cast<double>(m.vocab * m.hidden) / layer;
  const double share = (static_cast<double>(m.layers) + head) / plan.pipeline;
  plan.stage_layers.assign(static_cast<std::size_t>(plan.pipeline), 0);
  std::size_t stage = 0;
  for (std::int64_t dealt = 1; dealt <= m.layers; ++dealt) {
    ++plan.stage_layers[stage];
    const bool is_full = static_cast<double>(dealt) > share * static_cast<double>(stage + 1);
    if (is_full && stage + 1 < plan.stage_layers.size()) ++stage;
  }
}

// What may be measured. Others inform a reader, unless they look like one of these misspelt.
constexpr std::array<std::string_view, 9> kMeasuredKeys = {
    "step_seconds",          "tokens_per_second_per_gpu", "model_tflops_per_gpu", "hardware_tflops_per_gpu",
    "peak_memory_bytes",     "peak_memory_kind",          "static_mem_bytes",     "peak_mem_per_rank_gib",
    "peak_mem_per_stage_gib"};

void check_measured(const SpecNode& measured, bool may_be_empty) {
  for (const std::string& key : measured.keys()) {
    if (std::find(kMeasuredKeys.begin(), kMeasuredKeys.end(), key) != kMeasuredKeys.end()) continue;
    const std::string nearest = nearest_name(key, kMeasuredKeys);
    if (!nearest.empty()) measured.fail(fmt::format("unknown key {}; did you mean {}?", in_quotes(key), nearest));
  }
  if (may_be_empty) return;
  for (std::size_t i = 0; i < 5; ++i)
    if (measured.has(kMeasuredKeys[i])) return;
  measured.fail(fmt::format("expected one of {}", fmt::join(kMeasuredKeys.begin(), kMeasuredKeys.begin() + 5, ", ")));
}

constexpr RealRange kStepSeconds = {1e-6, 1e6};
constexpr RealRange kTokensPerSecond = {1e-3, 1e9};
constexpr RealRange kTflops = {1e-3, 1e5};
constexpr IntRange kMemoryBytes = {1'000'000, 10'000'000'000'000};

/// Reads what was measured; rates need the problem to become seconds.
void read_measured(const SpecNode& measured, RunRow& row) {
  check_measured(measured, row.ran_out_of_memory);
  const auto rate = [&](std::string_view key, RealRange range) -> std::optional<double> {
    const std::optional<SpecNode> node = measured.optional(key);
    return node ? std::optional(node->as_real(range)) : std::nullopt;
  };
  const std::optional<double> step = rate("step_seconds", kStepSeconds);
  const std::optional<double> tokens = rate("tokens_per_second_per_gpu", kTokensPerSecond);
  const std::optional<double> model_tflops = rate("model_tflops_per_gpu", kTflops);
  const std::optional<double> hardware_tflops = rate("hardware_tflops_per_gpu", kTflops);
  if (const std::optional<SpecNode> peak = measured.optional("peak_memory_bytes"))
    row.peak_memory = static_cast<double>(peak->as_int(kMemoryBytes)) * bytes;
  if (const std::optional<SpecNode> kind = measured.optional("peak_memory_kind"))
    row.memory = memory_measure(kind->as_string());
  if (step) row.step = *step * seconds;
  if (row.step || !row.problem) return;
  const Problem& problem = *row.problem;
  const double gpus = static_cast<double>(gpus_used(*problem.plan));
  if (tokens) {
    const double per_step =
        static_cast<double>(problem.training.global_batch) * static_cast<double>(problem.training.sequence_length);
    row.step = per_step / (*tokens * gpus) * seconds;
  } else if (model_tflops) {
    row.step = model_flops_by(row.source, problem) / (*model_tflops * gpus * TFLOP_per_s);
  } else if (hardware_tflops) {
    row.step = hardware_flops(problem) / (*hardware_tflops * gpus * TFLOP_per_s);
  }
}

RunRow read_row(const SpecNode& run, const Catalogue& catalogue) {
  RunRow row;
  row.id = run.required("id").as_string();
  if (const std::optional<SpecNode> grade = run.optional("grade")) row.grade = grade->as_string();
  row.ran_out_of_memory = to_lower(row.grade) == "oom";
  const std::optional<SpecNode> source = run.optional("source");
  const std::optional<SpecNode> name = source && source->is_object() ? source->optional("name") : source;
  row.source = name && name->is_string() ? name->as_string() : run.file();
  row.refusal = unknown_name(run, catalogue);
  if (row.refusal.empty()) row.refusal = unsupported_precision(run, catalogue);
  if (row.refusal.empty()) {
    Problem problem = load_run(run, catalogue);
    FORETRAIN_CHECK(problem.plan.has_value());
    deal_odd_layers(run.required("plan"), problem.model, *problem.plan);
    deal_by_cost(run.required("plan"), problem);
    apply_noted_facts(run, problem);
    if (!problem.model.not_plannable.empty()) row.refusal = "model: " + problem.model.not_plannable;
    if (row.refusal.empty()) row.problem = std::move(problem);
  }
  if (!row.ran_out_of_memory || run.has("measured")) read_measured(run.required("measured"), row);
  return row;
}

}  // namespace

MemoryMeasure memory_measure(const std::string& kind) {
  const std::string words = to_lower(kind);
  const auto says = [&](std::string_view part) { return words.find(part) != std::string::npos; };
  MemoryMeasure measure;
  if (says("reserved")) {
    measure.counts = MemoryMeasure::Counts::reserved;
  } else if (says("allocated")) {
    measure.counts = MemoryMeasure::Counts::allocated;
  }
  if (says("first/last")) {
    measure.where = MemoryMeasure::Where::first_or_last_stage;
  } else if (says("last")) {
    measure.where = MemoryMeasure::Where::last_stage;
  }
  return measure;
}

bool is_runs_file(const SpecNode& file) {
  const std::optional<SpecNode> schema = file.is_object() ? file.optional("schema") : std::nullopt;
  return schema && schema->is_string() && schema->as_string() == kSchema;
}

std::vector<RunRow> read_run_rows(const SpecNode& file, const Catalogue& catalogue) {
  file.allow_only({"schema", "runs", "notes", "source"});
  std::vector<RunRow> rows;
  for (const SpecNode& run : file.required("runs").items()) rows.push_back(read_row(run, catalogue));
  return rows;
}

}  // namespace foretrain
