#include "planner/export_plan.h"

#include <array>

#include <fmt/format.h>

#include "planner/export/writers.h"
#include "planner/launch_rules.h"
#include "planner/legality.h"

namespace foretrain {
namespace {

constexpr std::array kExporters = {
    Exporter{"megatron-lm", "shell script: environment, all arguments of pretrain_gpt.py, torchrun and srun",
             "NVIDIA/Megatron-LM d98e8a64ddf3", Trainer::megatron_lm, write_megatron_lm},
    Exporter{"megatron-bridge", "recipe in Python", "NVIDIA-NeMo/Megatron-Bridge 067f987df03b",
             Trainer::megatron_bridge, write_megatron_bridge},
    Exporter{"torchtitan", "recipe in Python, for releases since 2026-02-23", "pytorch/torchtitan b5bcd76c66d0",
             Trainer::torchtitan, write_torchtitan},
    Exporter{"torchtitan-toml", "TOML, for releases up to 0.2.2", "pytorch/torchtitan v0.2.2", Trainer::torchtitan_toml,
             write_torchtitan_toml},
    Exporter{"torchtitan-csv", "pipeline schedule: every rank's passes in order (pipeline_parallel_schedule_csv)",
             "PyTorch torch/distributed/pipelining/schedules.py", std::nullopt, write_schedule_csv},
    Exporter{"deepspeed", "ds_config.json", "deepspeedai/DeepSpeed config-json.md", Trainer::deepspeed,
             write_deepspeed},
    Exporter{"nanotron", "YAML", "huggingface/nanotron 2411b022a75f", Trainer::nanotron, write_nanotron},
    Exporter{"json", "rank map: coordinates, layers and groups of every rank, in Slurm's host order", "docs/EXPORT.md",
             std::nullopt, write_rank_map},
};

}  // namespace

std::span<const Exporter> exporters() { return kExporters; }

std::optional<Rejection> why_not_exported(const Exporter& exporter, const Problem& problem, const Plan& plan) {
  if (!exporter.trainer) {  // ranks and passes are dealt by the plan's own rules
    std::optional<Rejection> broken = break_of_rule(problem, plan);
    const bool is_dealt = broken && broken->reason != RejectionReason::framework;
    return is_dealt ? broken : std::nullopt;
  }
  return break_of_launch_rule(*exporter.trainer, problem, plan);
}

std::string headline(const Problem& problem, const Plan& plan) {
  std::string text =
      fmt::format("{} on {} x {}: {}", problem.model.name, gpus_used(plan), problem.cluster.gpu.name, to_text(plan));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';  // a name may hold a line break; a comment may not
  return text;
}

}  // namespace foretrain
