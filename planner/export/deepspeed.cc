/// A plan as DeepSpeed's ds_config.json. What the model's own code decides (stages as a PipelineModule, checkpointing
/// of layers) stands in the keys that such code reads. Source: deepspeedai/DeepSpeed docs/_pages/config-json.md,
/// deepspeed/runtime/config.py, runtime/zero/config.py.
#include <nlohmann/json.hpp>

#include "planner/export/writers.h"

namespace foretrain {

std::string write_deepspeed(const Problem& problem, const Plan& plan) {
  using Json = nlohmann::ordered_json;
  const Training& t = problem.training;
  const std::int64_t accumulation = t.global_batch / (std::int64_t{plan.micro_batch} * plan.data);
  Json json = {{"train_batch_size", t.global_batch},
               {"train_micro_batch_size_per_gpu", plan.micro_batch},
               {"gradient_accumulation_steps", accumulation},
               {"gradient_clipping", 1.0},
               {"steps_per_print", 10},
               {"optimizer", {{"type", t.optimizer == Optimizer::adam ? "AdamW" : "SGD"}, {"params", {{"lr", 3e-4}}}}},
               {"bf16", {{"enabled", t.precision == Precision::bf16}}},
               {"fp16", {{"enabled", t.precision == Precision::fp16}}}};
  Json zero = {{"stage", plan.zero_stage}, {"overlap_comm", plan.overlap.data}, {"contiguous_gradients", true}};
  if (plan.shard_group > 0) zero["mics_shard_size"] = plan.shard_group;
  if (plan.offload.optimizer > 0) {
    zero["offload_optimizer"] = {{"device", "cpu"}, {"pin_memory", true}};
    if (plan.offload.optimizer < 1) zero["offload_optimizer"]["ratio"] = plan.offload.optimizer;
  }
  json["zero_optimization"] = zero;
  if (plan.tensor > 1) json["tensor_parallel"] = {{"autotp_size", plan.tensor}};
  if (plan.context > 1) json["sequence_parallel_size"] = plan.context;
  if (plan.pipeline > 1) {
    json["pipeline"] = {{"stages", plan.pipeline},
                        {"partition", "uniform"},
                        {"activation_checkpoint_interval", plan.recompute == Recompute::full ? 1 : 0}};
  }
  if (plan.recompute == Recompute::full)
    json["activation_checkpointing"] = {{"partition_activations", false}, {"contiguous_memory_optimization", false}};
  return json.dump(2) + "\n";
}

}  // namespace foretrain
