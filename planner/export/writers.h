/// What each exporter writes: one function a file. All need a plan that breaks no launch rule of its trainer.
#pragma once

#include <string>
#include <vector>

#include "planner/problem.h"

namespace foretrain {

/// "llama-3.1-70b on 256 x h100-sxm5-80gb: TP8 PP4 DP8 mbs1 1f1b SP ZeRO-1", on one line.
std::string headline(const Problem& problem, const Plan& plan);

std::string write_megatron_lm(const Problem& problem, const Plan& plan);
std::string write_megatron_bridge(const Problem& problem, const Plan& plan);
std::string write_torchtitan(const Problem& problem, const Plan& plan);
std::string write_torchtitan_toml(const Problem& problem, const Plan& plan);
std::string write_schedule_csv(const Problem& problem, const Plan& plan);
std::string write_deepspeed(const Problem& problem, const Plan& plan);
std::string write_nanotron(const Problem& problem, const Plan& plan);
std::string write_rank_map(const Problem& problem, const Plan& plan);

}  // namespace foretrain
