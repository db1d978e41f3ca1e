/// The launch of a plan with Megatron-Bridge: a recipe, a function that gives its ConfigContainer.
#include <algorithm>

#include <fmt/format.h>

#include "planner/export/bridge_keys.h"
#include "planner/export/megatron_arguments.h"
#include "planner/export/writers.h"
#include "planner/launch_rules.h"

namespace foretrain {
namespace {

const MegatronArgument* find(const std::vector<MegatronArgument>& arguments, std::string_view flag) {
  const auto found =
      std::find_if(arguments.begin(), arguments.end(), [&](const MegatronArgument& a) { return a.flag == flag; });
  return found == arguments.end() ? nullptr : &*found;
}

std::string value_of(const BridgeKey& key, const MegatronArgument& argument) {
  if (!key.when_given.empty()) return std::string(key.when_given);
  std::string value = argument.value;
  std::erase(value, '\'');
  return key.is_text ? fmt::format("\"{}\"", value) : value;
}

/// The format's recipe: that whose flags are all given, the most of them; "" for fp32.
std::string precision_of(const std::vector<MegatronArgument>& arguments) {
  std::string given;
  for (const char* flag : {"--bf16", "--fp16", "--fp8-format", "--fp8-recipe", "--fp4-format", "--fp4-recipe"}) {
    const MegatronArgument* a = find(arguments, flag);
    if (a != nullptr) given += (given.empty() ? "" : " ") + a->flag + (a->value.empty() ? "" : "=" + a->value);
  }
  for (const BridgePrecision& p : kBridgePrecisions)
    if (p.flags == given) return fmt::format("\"{}\"", p.name);
  return "None";
}

}  // namespace

std::string write_megatron_bridge(const Problem& problem, const Plan& plan) {
  const LaunchSize size = launch_size(problem, plan);
  const MegatronArguments groups = megatron_arguments(problem, plan);
  std::vector<MegatronArgument> arguments = groups.model;
  arguments.insert(arguments.end(), groups.training.begin(), groups.training.end());
  arguments.insert(arguments.end(), groups.parallel.begin(), groups.parallel.end());
  arguments.push_back({"--vocab-size", fmt::format("{}", problem.model.vocab)});
  std::string text = fmt::format(
      "# {}.\n# For NVIDIA-NeMo/Megatron-Bridge; mock data and a null tokenizer as it stands:\n"
      "#   torchrun --nproc-per-node {} --nnodes {} this_recipe.py\n\n",
      headline(problem, plan), size.gpus_per_node, size.nodes);
  const bool is_gated = problem.model.gated_mlp;
  text += fmt::format(
      "import torch.nn.functional as F\n\n"
      "from megatron.bridge.models.gpt_provider import GPTModelProvider\n"
      "from megatron.bridge.recipes.common import _pretrain_common\n"
      "from megatron.bridge.training.comm_overlap import CommOverlapConfig\n"
      "from megatron.bridge.training.config import ConfigContainer\n"
      "from megatron.bridge.training.gpt_step import forward_step\n"
      "from megatron.bridge.training.pretrain import pretrain\n\n\n"
      "def foretrain_plan() -> ConfigContainer:\n    cfg = _pretrain_common()\n"
      "    cfg.model = GPTModelProvider(\n        num_layers={},\n        hidden_size={},\n"
      "        num_attention_heads={},\n    )\n"
      "    cfg.model.activation_func = F.{}\n    cfg.dataset.seq_length = {}\n"
      "    cfg.tokenizer.tokenizer_type = \"NullTokenizer\"\n    cfg.tokenizer.vocab_size = {}\n"
      "    cfg.comm_overlap = CommOverlapConfig(tp_comm_overlap=False)\n    cfg.mixed_precision = {}\n",
      problem.model.layers, problem.model.hidden, problem.model.heads, is_gated ? "silu" : "gelu",
      problem.training.sequence_length, problem.model.vocab, precision_of(arguments));
  for (const BridgeKey& key : kBridgeKeys) {
    const MegatronArgument* argument = find(arguments, key.flag);
    if (argument != nullptr) {
      text += fmt::format("    cfg.{} = {}\n", key.attribute, value_of(key, *argument));
    } else if (!key.otherwise.empty()) {
      text += fmt::format("    cfg.{} = {}\n", key.attribute, key.otherwise);
    }
  }
  if (plan.recompute == Recompute::selective) text += "    cfg.model.recompute_modules = [\"core_attn\"]\n";
  if (plan.zero_stage >= 2) text += "    cfg.dist.use_megatron_fsdp = True\n";
  if (plan.offload.activations > 0) text += "    cfg.model.cpu_offloading = True\n";
  if (problem.software.attention == AttentionKind::unfused) text += "    cfg.model.attention_backend = \"unfused\"\n";
  if (needs_one_connection(problem, plan)) text += "    cfg.env_vars = {\"CUDA_DEVICE_MAX_CONNECTIONS\": \"1\"}\n";
  return text + "    return cfg\n\n\nif __name__ == \"__main__\":\n    pretrain(foretrain_plan(), forward_step)\n";
}

}  // namespace foretrain
