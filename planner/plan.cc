#include "planner/plan.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace foretrain {

std::string to_json(const Plan& plan) {
  nlohmann::ordered_json json;
  json["tensor"] = plan.tensor;
  json["pipeline"] = plan.pipeline;
  json["virtual_pipeline"] = plan.virtual_pipeline;
  json["data"] = plan.data;
  json["context"] = plan.context;
  json["expert"] = plan.expert;
  json["expert_tensor"] = plan.expert_tensor;
  json["micro_batch"] = plan.micro_batch;
  json["zero_stage"] = plan.zero_stage;
  json["shard_group"] = plan.shard_group;
  json["schedule"] = kScheduleNames[static_cast<std::size_t>(plan.schedule)];
  json["recompute"] = kRecomputeNames[static_cast<std::size_t>(plan.recompute)];
  json["recompute_layers"] = plan.recompute_layers;
  json["context_kind"] = kContextKindNames[static_cast<std::size_t>(plan.context_kind)];
  json["sequence_parallel"] = plan.sequence_parallel;
  json["account_for_embedding"] = plan.account_for_embedding;
  json["account_for_loss"] = plan.account_for_loss;
  json["overlap"] = {{"tensor", plan.overlap.tensor}, {"data", plan.overlap.data}, {"pipeline", plan.overlap.pipeline}};
  json["offload"] = {{"optimizer", plan.offload.optimizer}, {"activations", plan.offload.activations}};
  json["stage_layers"] = plan.stage_layers;
  json["rank_order"] = plan.rank_order;
  return json.dump();
}

std::string to_text(const Plan& plan) {
  std::string text = fmt::format("TP{} PP{}", plan.tensor, plan.pipeline);
  if (plan.virtual_pipeline > 1) text += fmt::format(" VPP{}", plan.virtual_pipeline);
  text += fmt::format(" DP{}", plan.data);
  if (plan.context > 1) text += fmt::format(" CP{}", plan.context);
  if (plan.expert > 1) text += fmt::format(" EP{}", plan.expert);
  if (plan.expert_tensor > 1) text += fmt::format(" ETP{}", plan.expert_tensor);
  text += fmt::format(" mbs{}", plan.micro_batch);
  if (plan.pipeline > 1) text += fmt::format(" {}", kScheduleNames[static_cast<std::size_t>(plan.schedule)]);
  if (plan.sequence_parallel) text += " SP";
  if (plan.zero_stage > 0) text += fmt::format(" ZeRO-{}", plan.zero_stage);
  if (plan.shard_group > 0) text += fmt::format("/{}", plan.shard_group);
  if (plan.recompute != Recompute::none) {
    text += fmt::format(" {}", kRecomputeNames[static_cast<std::size_t>(plan.recompute)]);
    if (plan.recompute_layers > 0) text += fmt::format("({})", plan.recompute_layers);
  }
  if (!plan.stage_layers.empty()) {
    text += " uneven";
  } else if (plan.account_for_embedding || plan.account_for_loss) {
    text += fmt::format(" +{}{}", plan.account_for_embedding ? "E" : "", plan.account_for_loss ? "L" : "");
  }
  if (plan.offload.optimizer > 0 || plan.offload.activations > 0) text += " offload";
  return text;
}

}  // namespace foretrain
