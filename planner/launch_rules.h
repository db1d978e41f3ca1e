/// What stops a trainer's launch: one table of rules a trainer, which exporting and searching both go by.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "planner/problem.h"
#include "planner/rejection.h"
#include "planner/trainer.h"

namespace foretrain {

struct LaunchRule {
  RejectionReason reason = RejectionReason::framework;
  std::string_view text;  ///< the trainer's own words where it has some, with the file in which they stand
  bool (*breaks)(const Problem&, const Plan&);
};

/// Rules on plans, and on the job that plans are for; the first that is broken is the one that is told.
/// Sources: NVIDIA/Megatron-LM d98e8a64ddf3, pytorch/torchtitan b5bcd76c66d0 and v0.2.2, huggingface/nanotron
/// 2411b022a75f, deepspeedai/DeepSpeed; each text names the file.
std::span<const LaunchRule> launch_rules(Trainer trainer);

/// The first rule of `trainer` that `plan` breaks, with its place in launch_rules(), or nullopt. No allocation.
std::optional<Rejection> break_of_launch_rule(Trainer trainer, const Problem& problem, const Plan& plan);

/// The framework that predicts what `trainer` does.
FrameworkKind framework_of(Trainer trainer);

/// GPUs of each node and nodes that a launch of `plan` takes; the last node is full, too, or there is but one.
struct LaunchSize {
  std::int64_t nodes = 1, gpus_per_node = 1;
};
LaunchSize launch_size(const Problem& problem, const Plan& plan);

}  // namespace foretrain
