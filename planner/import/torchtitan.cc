/// torchtitan's configuration, a recipe of today or TOML of v0.1 to v0.2.2, as a job.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "planner/export/titan_flavors.h"
#include "planner/import/config_tree.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;
constexpr IntRange kCount = {1, 1'000'000'000'000};

/// A section of the configuration: values by key, with the trainer's defaults.
class Section {
 public:
  Section(const SpecNode& root, std::string_view name) : node_(root.optional(name)) {
    if (node_ && !node_->is_object()) node_->fail_expected("a section");
  }
  [[nodiscard]] std::optional<SpecNode> find(std::string_view key) const {
    return node_ ? node_->optional(key) : std::nullopt;
  }
  [[nodiscard]] std::int64_t number(std::string_view key, std::int64_t otherwise, std::int64_t least = 1) const {
    const auto value = find(key);
    return value ? value->as_int({least, kCount.most}) : otherwise;
  }
  [[nodiscard]] bool truth(std::string_view key, bool otherwise) const {
    const auto value = find(key);
    return value ? value->as_bool() : otherwise;
  }
  [[nodiscard]] std::string text(std::string_view key, const std::string& otherwise) const {
    const auto value = find(key);
    return value ? value->as_string() : otherwise;
  }

 private:
  std::optional<SpecNode> node_;
};

/// Layers of the parts that `module_fqns_per_model_part` lists.
std::vector<std::int64_t> layers_of_parts(const SpecNode& parts) {
  std::vector<std::int64_t> layers;
  for (const SpecNode& part : parts.items()) {
    layers.push_back(0);
    for (const SpecNode& name : part.items())
      if (name.as_string().starts_with("layers.")) ++layers.back();
  }
  if (layers.empty()) parts.fail_expected("a list of modules for every stage");
  return layers;
}

/// torchtitan/distributed/pipeline_parallel.py, _generate_llm_fqn_per_model_part.
std::vector<std::int64_t> dealt_layers(std::int64_t layers, std::int64_t stages, std::int64_t first,
                                       std::int64_t last) {
  const std::int64_t counted = layers + first + last;
  std::vector<std::int64_t> dealt;
  for (std::int64_t s = 0; s < stages; ++s) {
    const std::int64_t own = counted / stages + (s < counted % stages ? 1 : 0);
    dealt.push_back(std::max<std::int64_t>(0, own - (s == 0 ? first : 0) - (s == stages - 1 ? last : 0)));
  }
  return dealt;
}

void read_pipeline(const Section& section, const TitanFlavor* flavor, Json& plan) {
  const std::int64_t pipeline = section.number("pipeline_parallel_degree", 1);
  if (pipeline > 1'000'000) section.find("pipeline_parallel_degree")->fail_expected("at most 1000000");
  plan["pipeline"] = pipeline;
  if (pipeline == 1) return;
  constexpr std::array<std::string_view, 3> kSchedules = {"1F1B", "GPipe", "Interleaved1F1B"};
  constexpr std::array<std::string_view, 3> kOurs = {"1f1b", "gpipe", "interleaved"};
  const auto named = section.find("pipeline_parallel_schedule");
  const std::size_t schedule = named ? named->as_choice(kSchedules, "schedule that is modelled") : 0;
  plan["schedule"] = kOurs[schedule];
  std::int64_t chunks = schedule == 2 ? 2 : 1;  // what torchtitan takes when nobody says
  const std::int64_t first = section.number("pipeline_parallel_first_stage_less_layers", 1, 0);
  const std::int64_t last = section.number("pipeline_parallel_last_stage_less_layers", 1, 0);
  if (const auto parts = section.find("module_fqns_per_model_part")) {
    const std::vector<std::int64_t> layers = layers_of_parts(*parts);
    if (static_cast<std::int64_t>(layers.size()) % pipeline != 0)
      parts->fail(fmt::format("holds {} parts; pipeline_parallel_degree is {}", layers.size(), pipeline));
    plan["virtual_pipeline"] = static_cast<std::int64_t>(layers.size()) / pipeline;
    plan["stage_layers"] = layers;
    return;
  }
  if (const auto each = section.find("pipeline_parallel_layers_per_stage")) {
    if (flavor == nullptr) each->fail("how many stages this makes hangs on the model, whose flavour is not known here");
    const std::int64_t per_stage = each->as_int({1, 1'000'000});
    const std::int64_t stages = (flavor->layers + first + last + per_stage - 1) / per_stage;
    if (stages % pipeline != 0)
      each->fail(fmt::format("makes {} virtual stages, which must be divisible by pipeline parallel size {}", stages,
                             pipeline));
    chunks = stages / pipeline;
  }
  plan["virtual_pipeline"] = chunks;
  if (first <= 1 && last <= 1) {
    plan["account_for_embedding"] = first == 1;
    plan["account_for_loss"] = last == 1;
  } else if (flavor != nullptr) {
    plan["stage_layers"] = dealt_layers(flavor->layers, pipeline * chunks, first, last);
  } else {
    section.find("pipeline_parallel_degree")
        ->fail("the stages' layers hang on the model, whose flavour is not known here");
  }
}

/// Replicas and shards; gives the data parallel degree where the configuration says it.
std::optional<std::int64_t> read_data_parallel(const Section& section, const std::string& file, Json& plan,
                                               std::vector<std::string>& warnings) {
  const std::int64_t replicas = section.number("data_parallel_replicate_degree", 1);
  const std::int64_t shards = section.number("data_parallel_shard_degree", -1, -1);
  const std::int64_t context = plan["context"].get<std::int64_t>();
  const bool has_stages = plan["pipeline"].get<std::int64_t>() > 1;
  const auto policy = section.find("fsdp_reshard_after_forward");
  constexpr std::array<std::string_view, 3> kPolicies = {"default", "always", "never"};
  const std::size_t chosen = policy ? policy->as_choice(kPolicies, "policy") : 0;
  const bool reshards = chosen == 1 || (chosen == 0 && !has_stages);
  plan["zero_stage"] = !policy && shards == 1 && context == 1 ? 0 : reshards ? 3 : 2;
  if (shards == 0) section.find("data_parallel_shard_degree")->fail_expected("-1 or at least 1");
  if (shards < 0) {
    if (replicas > 1)
      warnings.push_back(file +
                         ": data_parallel_shard_degree -1 beside replicas: predicted as sharded over all of them");
    return std::nullopt;
  }
  if (replicas > 1'000'000 || shards > 1'000'000)
    section.find("data_parallel_shard_degree")->fail_expected("at most 1000000 ranks");
  if (replicas > 1 && plan["zero_stage"] != 0) plan["shard_group"] = shards * context;
  plan["data"] = replicas * shards;
  return replicas * shards;
}

void read_plan(const Section& section, const Section& checkpoint, const TitanFlavor* flavor, const std::string& file,
               ImportedJob& imported, Json& plan) {
  plan["tensor"] = section.number("tensor_parallel_degree", 1);
  plan["context"] = section.number("context_parallel_degree", 1);
  if (const std::int64_t expert = section.number("expert_parallel_degree", 1); expert > 1) plan["expert"] = expert;
  if (const std::int64_t expert = section.number("expert_tensor_parallel_degree", 1); expert > 1)
    plan["expert_tensor"] = expert;
  read_pipeline(section, flavor, plan);
  const auto data = read_data_parallel(section, file, plan, imported.warnings);
  double gpus = static_cast<double>(data.value_or(1));
  for (const char* key : {"tensor", "context", "pipeline"}) gpus *= plan[key].get<double>();
  if (gpus > 1e9) throw SpecError(file, fmt::format("its degrees need {:.3g} GPUs", gpus));
  if (data) imported.gpus = static_cast<std::int64_t>(gpus);
  plan["sequence_parallel"] = plan["tensor"].get<std::int64_t>() > 1 && section.truth("enable_sequence_parallel", true);
  static_cast<void>(checkpoint);
}

void check_is_titan(const SpecNode& root, const char* expected) {
  if (!root.has("training") || !root.has("parallelism")) root.fail(fmt::format("expected {}", expected));
}

std::string model_of(const TitanFlavor* flavor, const std::string& file, std::vector<std::string>& warnings) {
  if (flavor != nullptr) return std::string(flavor->model);
  warnings.push_back(file + ": the model's shapes are not known here; give it with --set model=NAME");
  return "";
}

const TitanFlavor* flavor_named(const std::string& module, const std::string& name) {
  for (const TitanFlavor& f : kTitanFlavors)
    if (f.module == module && f.flavor == name) return &f;
  return nullptr;
}

ImportedJob finish(Json job, const TitanFlavor* flavor, const std::string& file, ImportedJob imported) {
  if (const std::string model = model_of(flavor, file, imported.warnings); !model.empty()) job["model"] = model;
  imported.job_json = job.dump();
  return imported;
}

}  // namespace

ImportedJob read_torchtitan_toml(std::string_view text, const std::string& file) {
  const SpecNode root = read_toml(text, file);
  check_is_titan(root, "TOML of torchtitan up to 0.2.2, with [training] and [parallelism]");
  const Section model(root, "model"), training(root, "training"), parallelism(root, "parallelism");
  const Section checkpoint(root, "activation_checkpoint"), compile(root, "compile");
  ImportedJob imported;
  const TitanFlavor* flavor = flavor_named(model.text("name", "llama3"), model.text("flavor", "debugmodel"));
  Json plan;
  read_plan(parallelism, checkpoint, flavor, file, imported, plan);
  const std::int64_t local = training.number("local_batch_size", 8);
  std::int64_t global = training.number("global_batch_size", -1, -1);
  if (global < 1 && !plan.contains("data"))
    root.required("training").fail("global_batch_size is not given, and neither is data_parallel_shard_degree");
  if (global < 1) global = local * plan["data"].get<std::int64_t>();
  const bool has_stages = plan["pipeline"].get<std::int64_t>() > 1;
  const std::int64_t micro = has_stages ? parallelism.number("pipeline_parallel_microbatch_size", 1) : local;
  if (local % micro != 0)
    root.required("training")
        .fail(
            fmt::format("local_batch_size {} must be divisible by pipeline_parallel_microbatch_size {}", local, micro));
  plan["micro_batch"] = micro;
  plan["recompute"] = checkpoint.text("mode", "selective");
  plan["context_kind"] =
      parallelism.text("context_parallel_rotate_method", "allgather") == "alltoall" ? "ring" : "all-gather";
  plan["overlap"] = {{"tensor", parallelism.truth("enable_async_tensor_parallel", false) && plan["tensor"] != 1},
                     {"data", true},
                     {"pipeline", false}};
  std::string precision = training.text("mixed_precision_param", "bfloat16") == "float32" ? "fp32" : "bf16";
  if (const auto converters = model.find("converters")) {
    for (const SpecNode& converter : converters->items()) {
      const std::string name = converter.as_string();
      precision = name.find("float8") != std::string::npos ? "fp8"
                  : name.find("mx") != std::string::npos   ? "mxfp8"
                                                           : precision;
    }
  }
  Json job = {
      {"schema", "foretrain.job/1"},
      {"training",
       {{"sequence_length", training.number("seq_len", 2048)}, {"global_batch", global}, {"precision", precision}}},
      {"software", {{"framework", "torchtitan"}, {"compile", compile.truth("enable", false)}}},
      {"plan", plan}};
  if (text.find("recipe_name = \"rowwise\"") != std::string_view::npos) job["software"]["version"] = "rowwise";
  return finish(std::move(job), flavor, file, std::move(imported));
}

ImportedJob read_torchtitan(std::string_view text, const std::string& file) {
  const SpecNode root = read_recipe(text, file);
  check_is_titan(root, "a recipe of torchtitan with training=TrainingConfig( and parallelism=ParallelismConfig(");
  const Section training(root, "training"), parallelism(root, "parallelism"), compile(root, "compile");
  const auto between = [&](std::string_view before, char after) -> std::string {
    const std::size_t at = text.find(before);
    if (at == std::string_view::npos) return "";
    const std::string_view rest = text.substr(at + before.size());
    return std::string(rest.substr(0, std::min<std::size_t>(rest.find(after), 100)));
  };
  ImportedJob imported;
  std::string name = between("model_registry(\"", '"');
  if (name.empty()) name = between("model_registry(\n        \"", '"');
  const std::string_view before = text.substr(0, std::min(text.find(" import model_registry"), text.size()));
  const TitanFlavor* flavor = flavor_named(std::string(before.substr(before.rfind('.') + 1)), name);
  Json plan;
  read_plan(parallelism, training, flavor, file, imported, plan);
  const std::int64_t sequence = training.number("max_context_length", 2048);
  const std::int64_t tokens = training.number("num_tokens_per_microbatch_per_dp_rank", 16384);
  if (tokens % sequence != 0)
    root.required("training")
        .fail(fmt::format("num_tokens_per_microbatch_per_dp_rank {} is not a multiple of max_context_length {}", tokens,
                          sequence));
  plan["micro_batch"] = tokens / sequence;
  const std::int64_t step = training.number("num_tokens_per_train_step", -1, -1);
  if (step < 1) root.required("training").fail("num_tokens_per_train_step is not given");
  const std::string checkpointing =
      root.has("activation_checkpoint") && root.required("activation_checkpoint").is_string()
          ? root.required("activation_checkpoint").as_string()
      : root.has("activation_checkpoint") ? "None"
                                          : "SelectiveAC";
  plan["recompute"] = checkpointing.starts_with("Full")  ? "full"
                      : checkpointing.starts_with("Sel") ? "selective"
                                                         : "none";
  plan["context_kind"] = plan["context"] == 1 ? "ring" : "all-gather";
  plan["overlap"] = {
      {"tensor", compile.truth("enable_async_tensor_parallel", false)}, {"data", true}, {"pipeline", false}};
  std::string precision = training.text("mixed_precision_param", "bfloat16") == "float32" ? "fp32" : "bf16";
  if (text.find("MXFP8LinearConverter") != std::string_view::npos) {
    precision = "mxfp8";
  } else if (text.find("NVFP4LinearConverter") != std::string_view::npos) {
    precision = "nvfp4";
  } else if (text.find("Float8LinearConverter") != std::string_view::npos) {
    precision = "fp8";
  }
  const bool graphs = !training.truth("disable_cuda_graphs", false) && plan["pipeline"] == 1;
  Json job = {
      {"schema", "foretrain.job/1"},
      {"training", {{"sequence_length", sequence}, {"global_batch", step / sequence}, {"precision", precision}}},
      {"software", {{"framework", "torchtitan"}, {"compile", compile.truth("enable", false)}, {"cuda_graphs", graphs}}},
      {"plan", plan}};
  return finish(std::move(job), flavor, file, std::move(imported));
}

}  // namespace foretrain
