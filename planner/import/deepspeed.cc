/// DeepSpeed's ds_config.json as a job. It says neither the model nor its sequences.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_node.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

/// A number, or nothing where it is missing or "auto" (Hugging Face's Trainer fills it in).
std::optional<std::int64_t> count(const SpecNode& node, const char* key, std::int64_t least = 1) {
  const auto value = node.optional(key);
  if (!value || (value->is_string() && value->as_string() == "auto")) return std::nullopt;
  return value->as_int({least, 1'000'000'000});
}
bool is_enabled(const SpecNode& root, const char* section) {
  const auto node = root.optional(section);
  if (!node || !node->has("enabled")) return false;
  const SpecNode enabled = node->required("enabled");
  return enabled.is_boolean() && enabled.as_bool();
}

void read_batch(const SpecNode& root, Json& training, Json& plan) {
  const auto batch = count(root, "train_batch_size"), micro = count(root, "train_micro_batch_size_per_gpu");
  const auto accumulation = count(root, "gradient_accumulation_steps");
  if (!micro) root.fail("train_micro_batch_size_per_gpu is not given, or \"auto\": put the number that is run");
  plan["micro_batch"] = *micro;
  if (!batch) root.fail("train_batch_size is not given, or \"auto\": put the number that is run");
  training["global_batch"] = *batch;
  if (!accumulation) return;
  const std::int64_t each = *micro * *accumulation;
  if (*batch % each != 0)
    root.required("train_batch_size")
        .fail(fmt::format("{} is not equal to micro_batch_per_gpu {} * gradient_acc_step {} * world_size", *batch,
                          *micro, *accumulation));
  plan["data"] = *batch / each;
}

void read_zero(const SpecNode& root, Json& plan) {
  const auto zero = root.optional("zero_optimization");
  const std::int64_t stage = zero ? count(*zero, "stage", 0).value_or(0) : 0;
  if (stage > 3) zero->required("stage").fail_expected("0 to 3");
  plan["zero_stage"] = stage;
  bool overlaps = stage == 3;  // runtime/zero/config.py: overlap_comm is true for stage 3 when nobody says
  if (zero) {
    if (const auto overlap = zero->optional("overlap_comm"); overlap && overlap->is_boolean())
      overlaps = overlap->as_bool();
    if (const auto group = count(*zero, "mics_shard_size", -1); group && *group > 0) plan["shard_group"] = *group;
    if (const auto offload = zero->optional("offload_optimizer");
        offload && offload->has("device") && offload->required("device").as_string() != "none") {
      const auto ratio = offload->optional("ratio");
      plan["offload"] = {{"optimizer", ratio ? ratio->as_real({0, 1}) : 1.0}, {"activations", 0.0}};
    }
  }
  plan["overlap"] = {{"tensor", false}, {"data", overlaps}, {"pipeline", false}};
}

}  // namespace

ImportedJob read_deepspeed(std::string_view text, const std::string& file) {
  const SpecNode root = SpecNode::parse(text, file);
  const bool is_config =
      root.is_object() &&
      (root.has("train_batch_size") || root.has("train_micro_batch_size_per_gpu") || root.has("zero_optimization"));
  if (!is_config) root.fail("expected a ds_config of DeepSpeed, with train_batch_size and zero_optimization");
  ImportedJob imported;
  Json plan, training;
  read_batch(root, training, plan);
  const auto tensor = root.optional("tensor_parallel");
  plan["tensor"] = tensor ? count(*tensor, "autotp_size").value_or(1) : 1;
  plan["context"] = count(root, "sequence_parallel_size").value_or(1);
  plan["context_kind"] = plan["context"] == 1 ? "ring" : "ulysses";
  const auto pipeline = root.optional("pipeline");
  const bool has_stages = pipeline && pipeline->is_object();
  plan["pipeline"] = has_stages ? count(*pipeline, "stages").value_or(1) : 1;
  const bool in_stages = has_stages && count(*pipeline, "activation_checkpoint_interval", 0).value_or(0) > 0;
  plan["recompute"] = in_stages || root.optional("activation_checkpointing") ? "full" : "none";
  plan["sequence_parallel"] = false;
  read_zero(root, plan);
  if (is_enabled(root, "bf16") && is_enabled(root, "fp16")) root.required("fp16").fail("excludes bf16");
  training["precision"] = is_enabled(root, "bf16") ? "bf16" : is_enabled(root, "fp16") ? "fp16" : "fp32";
  if (const auto optimizer = root.optional("optimizer"); optimizer && optimizer->optional("type"))
    training["optimizer"] = optimizer->required("type").as_string() == "SGD" ? "sgd" : "adam";
  if (plan.contains("data")) {
    double gpus = 1;
    for (const char* key : {"data", "tensor", "context", "pipeline"}) gpus *= plan[key].get<double>();
    if (gpus > 1e9) root.fail(fmt::format("its degrees need {:.3g} GPUs", gpus));
    imported.gpus = static_cast<std::int64_t>(gpus);
  }
  imported.warnings.push_back(file +
                              ": says neither model nor sequence length: --set model=NAME, --set "
                              "training.sequence_length=N");
  const Json job = {{"schema", "foretrain.job/1"},
                    {"training", training},
                    {"software", {{"framework", "deepspeed"}}},
                    {"plan", plan}};
  imported.job_json = job.dump();
  return imported;
}

}  // namespace foretrain
