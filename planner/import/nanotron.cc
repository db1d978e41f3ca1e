/// nanotron's YAML as a job.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "planner/import/config_tree.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;
constexpr IntRange kDegree = {1, 1'000'000};

std::int64_t degree(const SpecNode& node, const char* key) {
  const auto value = node.optional(key);
  return value ? value->as_int(kDegree) : 1;
}
bool truth(const SpecNode& node, const char* key) {
  const auto value = node.optional(key);
  return value && value->as_bool();
}

Json read_model(const SpecNode& config) {
  const auto number = [&](const char* key) { return config.required(key).as_int(); };
  Json model = {{"name", "nanotron model"},
                {"layers", number("num_hidden_layers")},
                {"hidden", number("hidden_size")},
                {"ffn_hidden", number("intermediate_size")},
                {"heads", number("num_attention_heads")},
                {"vocab", number("vocab_size")},
                {"gated_mlp", true},
                {"tied_embeddings", truth(config, "tie_word_embeddings")}};
  if (const auto kv = config.optional("num_key_value_heads")) model["kv_heads"] = kv->as_int();
  if (truth(config, "attention_bias")) model["qkv_bias"] = true;
  if (const auto moe = config.optional("moe_config")) moe->fail("mixtures of experts are not read");
  return model;
}

}  // namespace

ImportedJob read_nanotron(std::string_view text, const std::string& file) {
  const SpecNode root = read_yaml(text, file);
  if (!root.is_object() || !root.has("parallelism") || !root.has("tokens"))
    root.fail("expected a configuration of nanotron, with parallelism and tokens");
  const SpecNode parallelism = root.required("parallelism"), tokens = root.required("tokens");
  const SpecNode model = root.required("model");
  Json plan = {{"tensor", parallelism.required("tp").as_int(kDegree)},
               {"pipeline", parallelism.required("pp").as_int(kDegree)},
               {"data", parallelism.required("dp").as_int(kDegree)},
               {"context", degree(parallelism, "context_parallel_size")},
               {"micro_batch", tokens.required("micro_batch_size").as_int(kDegree)}};
  double gpus = 1;
  for (const char* key : {"tensor", "pipeline", "data", "context"}) gpus *= plan[key].get<double>();
  if (gpus > 1e9) parallelism.fail(fmt::format("its degrees need {:.3g} GPUs", gpus));
  const auto text_of = [&](const char* key, const char* otherwise) {
    const auto value = parallelism.optional(key);
    return to_lower(value ? value->as_string() : otherwise);
  };
  const std::string engine = text_of("pp_engine", "afab");
  if (engine != "afab" && engine != "1f1b") parallelism.required("pp_engine").fail_expected("afab or 1f1b");
  plan["schedule"] = engine == "afab" ? "gpipe" : "1f1b";
  if (plan["pipeline"] == 1) plan["schedule"] = "1f1b";
  const bool scatters = text_of("tp_mode", "ALL_REDUCE") == "reduce_scatter";
  const bool shares = plan["tensor"] != 1;
  plan["sequence_parallel"] = scatters && shares;
  plan["context_kind"] = plan["context"] == 1 ? "ring" : "all-gather";
  plan["recompute"] = truth(parallelism, "recompute_layer") ? "full" : "none";
  plan["overlap"] = {{"tensor", truth(parallelism, "tp_linear_async_communication") && shares && scatters},
                     {"data", true},
                     {"pipeline", false}};
  Json training = {{"sequence_length", tokens.required("sequence_length").as_int()}};
  const double batch = plan["micro_batch"].get<double>() * plan["data"].get<double>() *
                       static_cast<double>(degree(tokens, "batch_accumulation_per_replica"));
  if (batch > 1e7) tokens.fail(fmt::format("a step of {:.3g} sequences; expected at most 1e7", batch));
  training["global_batch"] = static_cast<std::int64_t>(batch);
  const auto named = model.optional("dtype");
  const std::string dtype = named ? named->as_string() : "bfloat16";
  training["precision"] = dtype == "float16" ? "fp16" : dtype == "float32" ? "fp32" : "bf16";
  plan["zero_stage"] = 0;
  if (const auto optimizer = root.optional("optimizer")) {
    if (const auto stage = optimizer->optional("zero_stage")) plan["zero_stage"] = stage->as_int({0, 1});
    if (const auto factory = optimizer->optional("optimizer_factory"); factory && factory->optional("name"))
      training["optimizer"] = factory->required("name").as_string() == "sgd" ? "sgd" : "adam";
  }
  ImportedJob imported;
  imported.gpus = static_cast<std::int64_t>(gpus);
  const Json job = {{"schema", "foretrain.job/1"},
                    {"model", read_model(model.required("model_config"))},
                    {"training", training},
                    {"software", {{"framework", "nanotron"}}},
                    {"plan", plan}};
  imported.job_json = job.dump();
  return imported;
}

}  // namespace foretrain
