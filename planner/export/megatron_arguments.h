/// A plan in the words of Megatron-LM's command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/problem.h"

namespace foretrain {

struct MegatronArgument {
  std::string flag;   ///< "--num-layers"
  std::string value;  ///< "" for a switch; otherwise one shell word
};
struct MegatronArguments {
  std::vector<MegatronArgument> model, training, parallel;
};

/// Every argument that decides how fast a step is and what it holds. `plan` must break no launch rule.
MegatronArguments megatron_arguments(const Problem& problem, const Plan& plan);

/// The layers of each virtual stage as Megatron-LM writes them: "Et*3|t*4|t*4|t*3L"; `mtp` layers stand before the
/// loss.
std::string megatron_layout(const std::vector<std::int32_t>& stage_layers, std::int64_t mtp);

/// Whether CUDA_DEVICE_MAX_CONNECTIONS must be 1 (tensor or context parallelism before Blackwell, without FSDP).
/// Source: NVIDIA/Megatron-LM megatron/training/arguments.py, validate_args.
bool needs_one_connection(const Problem& problem, const Plan& plan);

}  // namespace foretrain
