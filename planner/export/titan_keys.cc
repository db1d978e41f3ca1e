#include "planner/export/titan_keys.h"

#include <algorithm>

#include <fmt/format.h>

#include "planner/export/titan_flavors.h"
#include "planner/placement.h"

namespace foretrain {
namespace {

std::string number(std::int64_t value) { return fmt::format("{}", value); }

/// Whether torchtitan deals the layers itself as the plan does, from layers a stage and the ends' weights.
/// Source: torchtitan/distributed/pipeline_parallel.py (_generate_llm_fqn_per_model_part).
bool deals_layers_alike(const ModelSpec& model, const Plan& plan, std::int64_t layers_per_stage) {
  // For shapes without a flavour, what is written must say the stages by itself.
  if (!plan.stage_layers.empty() || titan_flavor(model) == nullptr) return false;
  const std::int64_t stages = std::int64_t{plan.pipeline} * plan.virtual_pipeline;
  const std::int64_t first = plan.account_for_embedding ? 1 : 0, last = plan.account_for_loss ? 1 : 0;
  const std::int64_t counted = model.layers + first + last;
  if (ceil_div(counted, layers_per_stage) != stages || counted / stages < std::max(first, last)) return false;
  const std::vector<std::int32_t> planned = place_layers(model, plan).layers;
  for (std::int64_t s = 0; s < stages; ++s) {
    const std::int64_t own = counted / stages + (s < counted % stages ? 1 : 0);
    const std::int64_t layers = own - (s == 0 ? first : 0) - (s == stages - 1 ? last : 0);
    if (planned[static_cast<std::size_t>(s)] != layers) return false;
  }
  return true;
}

/// [["tok_embeddings", "layers.0"], ["layers.1", "norm", "output"]], stage by stage.
std::string parts(const ModelSpec& model, const Plan& plan, const char* head) {
  const std::vector<std::int32_t> stages = place_layers(model, plan).layers;
  std::string text;
  std::int64_t layer = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    std::vector<std::string> names;
    if (s == 0) names.emplace_back("\"tok_embeddings\"");
    for (std::int32_t i = 0; i < stages[s]; ++i) names.push_back(fmt::format("\"layers.{}\"", layer++));
    if (s + 1 == stages.size()) {
      names.emplace_back("\"norm\"");
      names.emplace_back(fmt::format("\"{}\"", head));
    }
    text += fmt::format("{}[{}]", s > 0 ? ", " : "", fmt::join(names, ", "));
  }
  return "[" + text + "]";
}

void add_pipeline(const Problem& problem, const Plan& plan, TitanKeys& keys) {
  keys.emplace_back("pipeline_parallel_degree", number(plan.pipeline));
  if (plan.pipeline == 1) return;
  const char* schedule = plan.virtual_pipeline > 1                    ? "Interleaved1F1B"
                         : plan.schedule == ScheduleKind::one_f_one_b ? "1F1B"
                                                                      : "GPipe";
  keys.emplace_back("pipeline_parallel_schedule", fmt::format("\"{}\"", schedule));
  const std::int64_t counted =
      problem.model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
  const std::int64_t each = ceil_div(counted, std::int64_t{plan.pipeline} * plan.virtual_pipeline);
  if (deals_layers_alike(problem.model, plan, each)) {
    keys.emplace_back("pipeline_parallel_layers_per_stage", number(each));
    keys.emplace_back("pipeline_parallel_first_stage_less_layers", plan.account_for_embedding ? "1" : "0");
    keys.emplace_back("pipeline_parallel_last_stage_less_layers", plan.account_for_loss ? "1" : "0");
  } else {
    const bool is_old = problem.trainer == Trainer::torchtitan_toml;
    keys.emplace_back("module_fqns_per_model_part", parts(problem.model, plan, is_old ? "output" : "lm_head"));
  }
}

}  // namespace

TitanKeys titan_parallelism(const Problem& problem, const Plan& plan) {
  TitanKeys keys;
  // FSDP shards over dp_shard x cp.
  const std::int64_t shard = plan.zero_stage == 0   ? 1
                             : plan.shard_group > 0 ? plan.shard_group / plan.context
                                                    : plan.data;
  keys.emplace_back("data_parallel_replicate_degree", number(plan.data / shard));
  keys.emplace_back("data_parallel_shard_degree", number(shard));
  if (plan.zero_stage >= 2) {
    // "default" keeps parameters gathered where there are pipeline stages.
    const char* policy = plan.zero_stage == 2 ? "never" : plan.pipeline > 1 ? "always" : "default";
    keys.emplace_back("fsdp_reshard_after_forward", fmt::format("\"{}\"", policy));
  }
  keys.emplace_back("tensor_parallel_degree", number(plan.tensor));
  add_pipeline(problem, plan, keys);
  keys.emplace_back("context_parallel_degree", number(plan.context));
  keys.emplace_back("expert_parallel_degree", number(plan.expert));
  return keys;
}

std::int64_t titan_pipeline_micro_batches(const Problem& problem, const Plan& plan) {
  return plan.pipeline == 1 ? 1 : problem.training.global_batch / (std::int64_t{plan.micro_batch} * plan.data);
}

TitanModel titan_model(const ModelSpec& m) {
  if (const TitanFlavor* known = titan_flavor(m)) return {std::string(known->module), std::string(known->flavor), ""};
  return {m.qk_norm_params > 0 ? "qwen3" : "llama3", "foretrain",
          fmt::format("# torchtitan has no such flavour: register \"foretrain\" with dim {}, n_layers {}, n_heads {}, "
                      "n_kv_heads {}, hidden_dim {}, vocab_size {}.\n",
                      m.hidden, m.layers, m.heads, m.kv_heads, m.ffn_hidden, m.vocab)};
}

}  // namespace foretrain
