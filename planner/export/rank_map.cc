/// The rank map of a plan as JSON: every rank's coordinates, node, layers and groups.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/export/writers.h"
#include "planner/launch_rules.h"
#include "planner/placement.h"

namespace foretrain {
namespace {

enum Axis : std::size_t { kTensor, kContext, kExpert, kData, kPipeline, kAxes };
constexpr std::array<std::string_view, kAxes> kAxisNames = {"tp", "cp", "ep", "dp", "pp"};
using Coordinates = std::array<std::int64_t, kAxes>;

/// Axes of `order` ("tp-cp-ep-dp-pp"), fastest first.
std::array<Axis, kAxes> axes_of(std::string_view order) {
  std::array<Axis, kAxes> axes{};
  for (std::size_t i = 0; i < kAxes; ++i) {
    const std::string_view name = order.substr(3 * i, 2);
    for (std::size_t a = 0; a < kAxes; ++a)
      if (kAxisNames[a] == name) axes[i] = static_cast<Axis>(a);
  }
  return axes;
}

/// Where `rank` lies in a grid of `sizes`.
Coordinates coordinates(std::int64_t rank, const std::array<Axis, kAxes>& axes, const Coordinates& sizes) {
  Coordinates at{};
  for (const Axis a : axes) {
    at[a] = rank % sizes[a];
    rank /= sizes[a];
  }
  return at;
}

/// Groups of ranks that differ along `along` alone, each as "[0,1,2]", in the order of their first ranks.
std::string groups(std::int64_t ranks, const std::array<Axis, kAxes>& axes, const Coordinates& sizes,
                   std::initializer_list<Axis> along) {
  std::vector<std::string> lists;
  std::vector<std::int64_t> group_of_key(static_cast<std::size_t>(ranks), -1);
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    Coordinates at = coordinates(rank, axes, sizes);
    for (const Axis a : along) at[a] = 0;
    std::int64_t key = 0, stride = 1;
    for (const Axis a : axes) {
      key += at[a] * stride;
      stride *= sizes[a];
    }
    std::int64_t& group = group_of_key[static_cast<std::size_t>(key)];
    if (group < 0) {
      group = static_cast<std::int64_t>(lists.size());
      lists.emplace_back();
    }
    std::string& list = lists[static_cast<std::size_t>(group)];
    list += fmt::format("{}{}", list.empty() ? "" : ",", rank);
  }
  return fmt::format("[[{}]]", fmt::join(lists, "],["));
}

/// Layers of each stage's chunks, first and one past the last: "[[0,5],[20,25]]".
std::vector<std::string> layers_of_stages(const ModelSpec& model, const Plan& plan) {
  const Placement placement = place_layers(model, plan);
  std::vector<std::string> text(static_cast<std::size_t>(plan.pipeline));
  std::int64_t next = 0;
  for (std::size_t i = 0; i < placement.layers.size(); ++i) {
    std::string& stage = text[i % static_cast<std::size_t>(plan.pipeline)];
    stage += fmt::format("{}[{},{}]", stage.empty() ? "" : ",", next, next + placement.layers[i]);
    next += placement.layers[i];
  }
  return text;
}

}  // namespace

std::string write_rank_map(const Problem& problem, const Plan& plan) {
  const std::array<Axis, kAxes> axes = axes_of(plan.rank_order);
  const std::int64_t ranks = gpus_used(plan), gpus_per_node = problem.cluster.node.gpus_per_node;
  const Coordinates dense = {plan.tensor, plan.context, 1, plan.data, plan.pipeline};
  const std::int64_t grid = std::int64_t{plan.expert_tensor} * plan.expert * plan.pipeline;
  const bool has_experts = problem.model.moe && ranks % grid == 0;
  const Coordinates expert = {plan.expert_tensor, 1, plan.expert, has_experts ? ranks / grid : 1, plan.pipeline};
  std::string text = fmt::format(
      "{{\"schema\": \"foretrain.ranks/1\",\n \"job\": {},\n \"plan\": {},\n \"order\": \"{}\",\n"
      " \"hosts\": {{\"nodes\": {}, \"gpus_per_node\": {}, \"order\": \"SLURM_JOB_NODELIST\", "
      "\"srun\": \"--distribution=block:block\"}},\n \"groups\": {{\n",
      problem.job_json, to_json(plan), plan.rank_order, ceil_div(ranks, gpus_per_node), gpus_per_node);
  text += fmt::format("  \"tensor\": {},\n", groups(ranks, axes, dense, {kTensor}));
  text += fmt::format("  \"context\": {},\n", groups(ranks, axes, dense, {kContext}));
  text += fmt::format("  \"data\": {},\n", groups(ranks, axes, dense, {kData}));
  text += fmt::format("  \"data_context\": {},\n", groups(ranks, axes, dense, {kData, kContext}));
  text += fmt::format("  \"pipeline\": {}", groups(ranks, axes, dense, {kPipeline}));
  if (has_experts) {
    text += fmt::format(",\n  \"expert_tensor\": {},\n", groups(ranks, axes, expert, {kTensor}));
    text += fmt::format("  \"expert\": {},\n", groups(ranks, axes, expert, {kExpert}));
    text += fmt::format("  \"expert_data\": {}", groups(ranks, axes, expert, {kData}));
  }
  text += "},\n \"ranks\": [\n";
  const std::vector<std::string> layers = layers_of_stages(problem.model, plan);
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const Coordinates at = coordinates(rank, axes, dense), of_expert = coordinates(rank, axes, expert);
    text += fmt::format(
        "  {{\"rank\": {}, \"node\": {}, \"local_rank\": {}, \"tp\": {}, \"cp\": {}, \"dp\": {}, \"pp\": {}, \"ep\": "
        "{}, "
        "\"layers\": [{}]}}{}\n",
        rank, rank / gpus_per_node, rank % gpus_per_node, at[kTensor], at[kContext], at[kData], at[kPipeline],
        has_experts ? of_expert[kExpert] : 0, layers[static_cast<std::size_t>(at[kPipeline])],
        rank + 1 < ranks ? "," : "");
  }
  return text + " ]}\n";
}

}  // namespace foretrain
