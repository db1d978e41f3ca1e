/// The launch of a plan with torchtitan up to 0.2.2, which reads TOML.
/// Source: pytorch/torchtitan v0.2.2 torchtitan/config/job_config.py, models/llama3/train_configs/*.toml.
#include <fmt/format.h>

#include "base/text.h"
#include "planner/export/titan_keys.h"
#include "planner/export/writers.h"
#include "planner/launch_rules.h"

namespace foretrain {

std::string write_torchtitan_toml(const Problem& given, const Plan& plan) {
  Problem problem = given;
  problem.trainer = Trainer::torchtitan_toml;  // the LM head has another name there
  const Training& t = problem.training;
  const TitanModel model = titan_model(problem.model);
  const LaunchSize size = launch_size(problem, plan);
  const std::int64_t passes = titan_pipeline_micro_batches(problem, plan);
  std::string text = fmt::format(
      "# {}.\n# For pytorch/torchtitan v0.1 to v0.2.2:\n"
      "#   CONFIG_FILE=./this.toml NGPU={} torchrun --nproc-per-node {} --nnodes {} -m torchtitan.train "
      "--job.config_file ./this.toml\n{}\n",
      headline(problem, plan), gpus_used(plan), size.gpus_per_node, size.nodes, model.comment);
  text += fmt::format("[model]\nname = {}\nflavor = {}\nhf_assets_path = \"./assets/hf\"\n", in_quotes(model.module),
                      in_quotes(model.flavor));
  if (t.precision == Precision::fp8) text += "converters = [\"quantize.linear.float8\"]\n";
  if (t.precision == Precision::mxfp8) text += "converters = [\"quantize.linear.mx\"]\n";
  text += fmt::format(
      "\n[optimizer]\nname = \"AdamW\"\nlr = 3e-4\n\n[training]\nlocal_batch_size = {}\nglobal_batch_size = "
      "{}\nseq_len = {}\n"
      "steps = 100\ndataset = \"c4\"\n",
      plan.micro_batch * passes, t.global_batch, t.sequence_length);
  if (t.precision == Precision::fp32) text += "mixed_precision_param = \"float32\"\n";
  text += "\n[parallelism]\n";
  for (const auto& [key, value] : titan_parallelism(problem, plan)) text += fmt::format("{} = {}\n", key, value);
  if (plan.pipeline > 1) text += fmt::format("pipeline_parallel_microbatch_size = {}\n", plan.micro_batch);
  if (plan.context > 1)
    text += fmt::format("context_parallel_rotate_method = \"{}\"\n",
                        plan.context_kind == ContextKind::ring ? "alltoall" : "allgather");
  if (problem.model.moe) text += fmt::format("expert_tensor_parallel_degree = {}\n", plan.expert_tensor);
  text += fmt::format("enable_async_tensor_parallel = {}\n", plan.overlap.tensor);
  text += fmt::format("\n[activation_checkpoint]\nmode = \"{}\"\n",
                      kRecomputeNames[static_cast<std::size_t>(plan.recompute)]);
  if (plan.recompute == Recompute::selective) text += "selective_ac_option = \"op\"\n";
  text += fmt::format("\n[compile]\nenable = {}\n", problem.software.compile);
  if (t.precision == Precision::fp8) {
    const bool rowwise = to_lower(problem.software.version).find("rowwise") != std::string::npos;
    text += rowwise ? "\n[quantize.linear.float8]\nrecipe_name = \"rowwise\"\n"
                    : "\n[quantize.linear.float8]\nenable_fsdp_float8_all_gather = true\n";
  }
  return text;
}

}  // namespace foretrain
