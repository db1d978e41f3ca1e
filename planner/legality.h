/// Which plans a trainer would launch at all: every divisibility and launch rule, as values with reasons.
#pragma once

#include <optional>

#include "planner/problem.h"
#include "planner/rejection.h"

namespace foretrain {

/// The first rule that `plan` breaks, or nullopt. Cheap: no allocation. Memory is judged elsewhere.
/// Source of the rules: NVIDIA/Megatron-LM megatron/training/arguments.py, core/transformer/transformer_config.py,
/// core/pipeline_parallel/schedules.py; pytorch/torchtitan; deepspeedai/DeepSpeed (each rule names its own in
/// legality.cc).
std::optional<Rejection> break_of_rule(const Problem& problem, const Plan& plan);

}  // namespace foretrain
