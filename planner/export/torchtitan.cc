/// The launch of a plan with today's torchtitan: a recipe, a function that gives its Trainer.Config.
/// Source: pytorch/torchtitan torchtitan/config/configs.py, trainer.py, models/llama3/config_registry.py
/// (b5bcd76c66d0).
#include <fmt/format.h>

#include "base/text.h"
#include "planner/export/titan_keys.h"
#include "planner/export/writers.h"
#include "planner/launch_rules.h"

namespace foretrain {
namespace {

std::string python(const std::string& value) { return value == "true" ? "True" : value == "false" ? "False" : value; }

std::string section(const char* name, const char* type, const TitanKeys& keys) {
  std::string text = fmt::format("        {}={}(\n", name, type);
  for (const auto& [key, value] : keys) text += fmt::format("            {}={},\n", key, python(value));
  return text + "        ),\n";
}

/// The converters of narrow formats: import and argument of model_registry.
struct Converter {
  const char* name = nullptr;
};
Converter converter_of(Precision precision) {
  switch (precision) {
    case Precision::fp8:
      return {"Float8LinearConverter"};
    case Precision::mxfp8:
      return {"MXFP8LinearConverter"};
    case Precision::nvfp4:
      return {"NVFP4LinearConverter"};
    default:
      return {};
  }
}

std::string header(const Problem& problem, const Plan& plan, const TitanModel& model, const Converter& converter) {
  const LaunchSize size = launch_size(problem, plan);
  std::string text = fmt::format(
      "# {}.\n# For pytorch/torchtitan (Python recipes, since 2026-02-23). With this file as {}/recipe.py on "
      "PYTHONPATH:\n"
      "#   torchrun --nproc-per-node {} --nnodes {} -m torchtitan.train --module {} --config foretrain_plan\n"
      "# Hugging Face assets, data and learning rate are yours to set; they do not change how long a step takes.\n{}\n",
      headline(problem, plan), "foretrain_recipe", size.gpus_per_node, size.nodes, "foretrain_recipe.recipe",
      model.comment);
  text +=
      "from torchtitan.components.data import ConcatThenSplitPackingConfig, GrainDataLoader\n"
      "from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss\n"
      "from torchtitan.components.optimizer import default_adamw\n";
  if (converter.name != nullptr)
    text += fmt::format("from torchtitan.components.quantization import {}\n", converter.name);
  text += "from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig\n";
  if (plan.recompute != Recompute::none)
    text += fmt::format("from torchtitan.distributed.activation_checkpoint import {}\n",
                        plan.recompute == Recompute::full ? "FullAC" : "SelectiveAC");
  text +=
      "from torchtitan.hf_datasets.text_datasets import DATASETS\n"
      "from torchtitan.models.common.config_utils import decoder_vocab_size\n";
  text += fmt::format("from torchtitan.models.{} import model_registry\n", model.module);
  return text + "from torchtitan.trainer import Trainer\n\n\n";
}

}  // namespace

std::string write_torchtitan(const Problem& problem, const Plan& plan) {
  const Training& t = problem.training;
  const TitanModel model = titan_model(problem.model);
  const Converter converter = converter_of(t.precision);
  const bool compiles = problem.software.compile;
  std::string text = header(problem, plan, model, converter);
  text += "def foretrain_plan() -> Trainer.Config:\n";
  if (converter.name == nullptr) {
    text += fmt::format("    model_spec = model_registry({})\n", in_quotes(model.flavor));
  } else {
    text += fmt::format(
        "    model_spec = model_registry(\n        {},\n        converters=[{}.Config(model_compile_enabled={})],\n    "
        ")\n",
        in_quotes(model.flavor), converter.name, compiles ? "True" : "False");
  }
  text +=
      "    return Trainer.Config(\n        model_spec=model_spec,\n        hf_assets_path=\"./assets/hf\",\n"
      "        loss=ChunkedLossWrapper.Config(\n            loss_fn=CrossEntropyLoss.Config(\n"
      "                global_vocab_size=decoder_vocab_size(model_spec),\n            ),\n        ),\n"
      "        optimizer=default_adamw(lr=3e-4),\n"
      "        dataloader=GrainDataLoader.Config(\n"
      "            dataset=ConcatThenSplitPackingConfig(dataset=DATASETS[\"c4\"]),\n        ),\n";
  TitanKeys training = {
      {"num_tokens_per_microbatch_per_dp_rank", fmt::format("{}", plan.micro_batch * t.sequence_length)},
      {"num_tokens_per_train_step", fmt::format("{}", t.global_batch * t.sequence_length)},
      {"max_context_length", fmt::format("{}", t.sequence_length)},
      {"steps", "100"},
      {"disable_cuda_graphs", problem.software.cuda_graphs ? "false" : "true"}};
  if (t.precision == Precision::fp32) training.emplace_back("mixed_precision_param", "\"float32\"");
  text += section("training", "TrainingConfig", training);
  TitanKeys keys = titan_parallelism(problem, plan);
  keys.emplace_back("enable_sequence_parallel", plan.sequence_parallel ? "true" : "false");
  keys.emplace_back("num_pp_microbatches", fmt::format("{}", titan_pipeline_micro_batches(problem, plan)));
  text += section("parallelism", "ParallelismConfig", keys);
  text += section("compile", "CompileConfig",
                  {{"enable", compiles ? "true" : "false"},
                   {"enable_async_tensor_parallel", plan.overlap.tensor ? "true" : "false"}});
  text +=
      fmt::format("        activation_checkpoint={},\n", plan.recompute == Recompute::none   ? "None"
                                                         : plan.recompute == Recompute::full ? "FullAC.Config()"
                                                                                             : "SelectiveAC.Config()");
  return text + "    )\n";
}

}  // namespace foretrain
