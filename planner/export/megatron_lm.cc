/// The launch of a plan with Megatron-LM, as a shell script: torchrun on one node, srun or torchrun on many.
/// Source: NVIDIA/Megatron-LM pretrain_gpt.py, megatron/training/arguments.py.
#include <fmt/format.h>

#include "planner/export/megatron_arguments.h"
#include "planner/export/writers.h"
#include "planner/launch_rules.h"

namespace foretrain {
namespace {

std::string array(const char* name, const std::vector<MegatronArgument>& arguments) {
  std::string text = fmt::format("{}=(\n", name);
  for (const MegatronArgument& a : arguments)
    text += fmt::format("  {}{}{}\n", a.flag, a.value.empty() ? "" : " ", a.value);
  return text + ")\n\n";
}

std::string environment(const Problem& problem, const Plan& plan) {
  if (needs_one_connection(problem, plan)) {
    return "# Tensor and context parallelism before Blackwell: communication is queued in the order it is launched.\n"
           "export CUDA_DEVICE_MAX_CONNECTIONS=1\n\n";
  }
  if (plan.zero_stage >= 2) return "# FSDP needs more than one connection.\nunset CUDA_DEVICE_MAX_CONNECTIONS\n\n";
  return "";
}

constexpr const char* kData = R"(# Nothing here changes how long a step takes.
if [[ -n "${{DATA_PATH:-}}" ]]; then
  DATA_ARGS=(--data-path "$DATA_PATH" --tokenizer-type HuggingFaceTokenizer
    --tokenizer-model "${{TOKENIZER_MODEL:?a Hugging Face tokenizer}}" --split 99,1,0)
else
  DATA_ARGS=(--mock-data --tokenizer-type NullTokenizer)
fi
DATA_ARGS+=(--vocab-size {vocab})

RUN_ARGS=(
  --train-iters "${{TRAIN_ITERS:-100}}"
  --lr "${{LR:-3.0e-4}}"
  --min-lr "${{MIN_LR:-3.0e-5}}"
  --lr-decay-style cosine
  --weight-decay 0.1
  --clip-grad 1.0
  --log-interval 1
  --log-throughput
  --eval-iters 0
)

)";

constexpr const char* kLaunch =
    R"(ALL_ARGS=("${{MODEL_ARGS[@]}}" "${{TRAINING_ARGS[@]}}" "${{PARALLEL_ARGS[@]}}" "${{DATA_ARGS[@]}}" "${{RUN_ARGS[@]}}")

# Ranks lie on the nodes in the order of their names, GPU by GPU, as the plan was judged.
if [[ -n "${{SLURM_JOB_ID:-}}" && "$NNODES" -gt 1 ]]; then
  MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  export MASTER_ADDR
  exec srun --nodes="$NNODES" --ntasks-per-node=1 --gpus-per-node="$GPUS_PER_NODE" --kill-on-bad-exit=1 \
    bash -c 'exec torchrun --nproc-per-node '"$GPUS_PER_NODE"' --nnodes '"$NNODES"' --node-rank "$SLURM_NODEID" \
      --master-addr "$MASTER_ADDR" --master-port '"$MASTER_PORT"' "$@"' foretrain pretrain_gpt.py "${{ALL_ARGS[@]}}"
else
  exec torchrun --nproc-per-node "$GPUS_PER_NODE" --nnodes "$NNODES" --node-rank "${{NODE_RANK:-0}}" \
    --master-addr "${{MASTER_ADDR:-localhost}}" --master-port "$MASTER_PORT" pretrain_gpt.py "${{ALL_ARGS[@]}}"
fi
)";

}  // namespace

std::string write_megatron_lm(const Problem& problem, const Plan& plan) {
  const LaunchSize size = launch_size(problem, plan);
  const MegatronArguments arguments = megatron_arguments(problem, plan);
  std::string text = fmt::format("#!/usr/bin/env bash\n# {}.\n", headline(problem, plan));
  text += size.nodes == 1
              ? "# Run it from the root of NVIDIA/Megatron-LM.\n"
              : "# Run it from the root of NVIDIA/Megatron-LM: within sbatch or salloc, or on every node with "
                "NODE_RANK and MASTER_ADDR set.\n";
  text += "set -euo pipefail\n\n";
  text += fmt::format("GPUS_PER_NODE={}\nNNODES={}\nMASTER_PORT=${{MASTER_PORT:-29500}}\n\n", size.gpus_per_node,
                      size.nodes);
  text += environment(problem, plan);
  text += array("MODEL_ARGS", arguments.model) + array("TRAINING_ARGS", arguments.training) +
          array("PARALLEL_ARGS", arguments.parallel);
  return text + fmt::format(kData, fmt::arg("vocab", problem.model.vocab)) + fmt::format(kLaunch);
}

}  // namespace foretrain
