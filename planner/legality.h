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

struct BlockCosts;
/// A step of more than ten days is refused before its times are added up: it is of no use, and the clock ends at
/// thirty. `blocks`: block_costs of the plan's shape.
std::optional<Rejection> break_of_time(const Problem& problem, const Plan& plan, const BlockCosts& blocks);

}  // namespace foretrain
