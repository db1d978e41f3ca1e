/// A plan as nanotron's YAML.
/// Source: huggingface/nanotron src/nanotron/config/*.py, examples/config_tiny_llama.yaml (2411b022a75f).
#include <fmt/format.h>

#include "planner/export/writers.h"
#include "planner/launch_rules.h"

namespace foretrain {
namespace {

constexpr const char* kRest = R"(checkpoints:
  checkpoint_interval: 1000
  checkpoints_path: checkpoints
  checkpoints_path_is_shared_file_system: false
  resume_checkpoint_path: null
  save_initial_state: false
data_stages:
- data:
    dataset: null
    num_loading_workers: 1
    seed: 42
  name: stable
  start_training_step: 1
general:
  project: foretrain
  run: plan
  seed: 42
logging:
  iteration_step_info_interval: 1
  log_level: info
  log_level_replica: info
tokenizer:
  tokenizer_max_length: null
  tokenizer_name_or_path: robot-test/dummy-tokenizer-wordlevel
  tokenizer_revision: null
)";

std::string model_text(const Problem& problem, const Plan& plan) {
  const ModelSpec& m = problem.model;
  const bool is_qwen = m.qkv_bias || plan.context > 1;
  const char* dtype = problem.training.precision == Precision::bf16   ? "bfloat16"
                      : problem.training.precision == Precision::fp16 ? "float16"
                                                                      : "float32";
  std::string text = fmt::format(
      "model:\n  ddp_bucket_cap_mb: 25\n  dtype: {}\n  init_method:\n    std: 0.02\n  make_vocab_size_divisible_by: 1\n"
      "  model_config:\n    bos_token_id: 1\n    eos_token_id: 2\n    hidden_act: silu\n    hidden_size: {}\n"
      "    intermediate_size: {}\n    {}: true\n    max_position_embeddings: {}\n    num_attention_heads: {}\n"
      "    num_hidden_layers: {}\n    num_key_value_heads: {}\n    rms_norm_eps: 1.0e-05\n    tie_word_embeddings: {}\n"
      "    vocab_size: {}\n",
      dtype, m.hidden, m.ffn_hidden, is_qwen ? "is_qwen2_config" : "is_llama_config", problem.training.sequence_length,
      m.heads, m.layers, m.kv_heads, m.tied_embeddings, m.vocab);
  if (is_qwen) text += fmt::format("    attention_bias: {}\n", m.qkv_bias);
  if (plan.context > 1) text += "    _attn_implementation: llama3_ring_attention\n";
  return text;
}

}  // namespace

std::string write_nanotron(const Problem& problem, const Plan& plan) {
  const Training& t = problem.training;
  const LaunchSize size = launch_size(problem, plan);
  std::string text = fmt::format(
      "# {}.\n# For huggingface/nanotron:\n"
      "#   CUDA_DEVICE_MAX_CONNECTIONS=1 torchrun --nproc-per-node {} --nnodes {} run_train.py --config-file "
      "this.yaml\n",
      headline(problem, plan), size.gpus_per_node, size.nodes);
  text += kRest + model_text(problem, plan);
  const char* optimizer = t.optimizer == Optimizer::adam
                              ? "    adam_beta1: 0.9\n    adam_beta2: 0.95\n    adam_eps: 1.0e-08\n    name: adamW\n"
                                "    torch_adam_is_fused: true\n"
                              : "    name: sgd\n";
  text += fmt::format(
      "optimizer:\n  accumulate_grad_in_fp32: true\n  clip_grad: 1.0\n  learning_rate_scheduler:\n    learning_rate: "
      "0.0003\n"
      "    lr_decay_style: cosine\n    lr_warmup_steps: 2\n    lr_warmup_style: linear\n    min_decay_lr: 1.0e-05\n"
      "  optimizer_factory:\n{}  weight_decay: 0.1\n  zero_stage: {}\n",
      optimizer, plan.zero_stage);
  text += fmt::format(
      "parallelism:\n  dp: {}\n  pp: {}\n  tp: {}\n  context_parallel_size: {}\n  expert_parallel_size: 1\n  "
      "pp_engine: {}\n"
      "  recompute_layer: {}\n  tp_linear_async_communication: {}\n  tp_mode: {}\n",
      plan.data, plan.pipeline, plan.tensor, plan.context, plan.schedule == ScheduleKind::gpipe ? "afab" : "1f1b",
      plan.recompute == Recompute::full, plan.overlap.tensor, plan.sequence_parallel ? "REDUCE_SCATTER" : "ALL_REDUCE");
  text += fmt::format(
      "tokens:\n  batch_accumulation_per_replica: {}\n  limit_test_batches: 0\n  limit_val_batches: 0\n  "
      "micro_batch_size: {}\n"
      "  sequence_length: {}\n  train_steps: 100\n  val_check_interval: -1\n",
      t.global_batch / (std::int64_t{plan.micro_batch} * plan.data), plan.micro_batch, t.sequence_length);
  return text;
}

}  // namespace foretrain
