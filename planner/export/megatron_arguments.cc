#include "planner/export/megatron_arguments.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/framework.h"

namespace foretrain {
namespace {

using List = std::vector<MegatronArgument>;

void add(List& list, std::string_view flag) { list.push_back({std::string(flag), ""}); }
template <class Value>
void add(List& list, std::string_view flag, const Value& value) {
  list.push_back({std::string(flag), fmt::format("{}", value)});
}

bool says(const Software& software, std::string_view words) {
  return to_lower(software.version + "; " + software.overlap).find(words) != std::string::npos;
}

void add_style(const Problem& problem, List& list) {
  const ModelSpec& m = problem.model;
  const bool is_learned = m.position == PositionKind::learned;
  add(list, "--position-embedding-type",
      is_learned                         ? "learned_absolute"
      : m.position == PositionKind::rope ? "rope"
                                         : "none");
  add(list, "--max-position-embeddings", is_learned ? m.max_positions : problem.training.sequence_length);
  add(list, "--normalization", m.norm == NormKind::rms ? "RMSNorm" : "LayerNorm");
  if (m.gated_mlp) add(list, "--swiglu");
  if (!m.mlp_bias) add(list, "--disable-bias-linear");
  if (m.qkv_bias && !m.mlp_bias) add(list, "--add-qkv-bias");
  if (m.qk_norm_params > 0) add(list, "--qk-layernorm");
  if (!m.tied_embeddings) add(list, "--untie-embeddings-and-output-weights");
  const double dropout = std::max(m.dropout, framework_spec(problem.software, problem.training.precision).dropout);
  add(list, "--attention-dropout", dropout);
  add(list, "--hidden-dropout", dropout);
}

/// "([0]*3+[1]*58)", or the n of every n-th layer.
std::string layer_frequency(const ModelSpec& m) {
  const MoeSpec& e = *m.moe;
  if (e.dense_layers == 0 && e.layer_every == 1) return "1";
  std::string text = "'(";
  if (e.dense_layers > 0) text += fmt::format("[0]*{}+", e.dense_layers);
  const std::int64_t rest = m.layers - e.dense_layers;
  if (e.layer_every == 1) return text + fmt::format("[1]*{})'", rest);
  // After the dense layers every n-th one has experts: the n-th, 2n-th...
  text += fmt::format("([0]*{}+[1])*{}", e.layer_every - 1, rest / e.layer_every);
  if (rest % e.layer_every != 0) text += fmt::format("+[0]*{}", rest % e.layer_every);
  return text + ")'";
}

void add_experts(const ModelSpec& m, List& list) {
  const MoeSpec& e = *m.moe;
  add(list, "--num-experts", e.experts);
  add(list, "--moe-router-topk", e.experts_per_token);
  add(list, "--moe-ffn-hidden-size", e.expert_ffn_hidden);
  add(list, "--moe-layer-freq", layer_frequency(m));
  if (e.shared_expert_ffn_hidden > 0) add(list, "--moe-shared-expert-intermediate-size", e.shared_expert_ffn_hidden);
  if (e.shared_expert_gate) add(list, "--moe-shared-expert-gate");
  add(list, "--moe-token-dispatcher-type", "alltoall");
  add(list, "--moe-grouped-gemm");
  if (e.router_bias) {  // arguments.py: expert bias goes with a sigmoid score
    add(list, "--moe-router-enable-expert-bias");
    add(list, "--moe-router-score-function", "sigmoid");
  }
  add(list, "--moe-router-load-balancing-type", "aux_loss");
  add(list, "--moe-aux-loss-coeff", "1e-2");
}

void add_latent_attention(const MlaSpec& a, List& list) {
  add(list, "--multi-latent-attention");
  if (a.q_lora_rank > 0) add(list, "--q-lora-rank", a.q_lora_rank);
  add(list, "--kv-lora-rank", a.kv_lora_rank);
  add(list, "--qk-head-dim", a.qk_nope_head_dim);
  add(list, "--qk-pos-emb-head-dim", a.qk_rope_head_dim);
  add(list, "--v-head-dim", a.v_head_dim);
}

List model_arguments(const Problem& problem) {
  const ModelSpec& m = problem.model;
  List list;
  add(list, "--num-layers", m.layers);
  add(list, "--hidden-size", m.hidden);
  // A mixture without ordinary layers has no width of its own for them.
  add(list, "--ffn-hidden-size", m.ffn_hidden > 0 ? m.ffn_hidden : m.moe ? m.moe->expert_ffn_hidden : 4 * m.hidden);
  add(list, "--num-attention-heads", m.heads);
  if (!m.mla) add(list, "--kv-channels", m.head_dim);
  if (m.kv_heads != m.heads && !m.mla) {
    add(list, "--group-query-attention");
    add(list, "--num-query-groups", m.kv_heads);
  }
  add(list, "--seq-length", problem.training.sequence_length);
  add_style(problem, list);
  if (m.mla) add_latent_attention(*m.mla, list);
  if (m.moe) add_experts(m, list);
  if (m.mtp_layers > 0) add(list, "--mtp-num-layers", m.mtp_layers);
  return list;
}

void add_precision(const Problem& problem, List& list) {
  switch (problem.training.precision) {
    case Precision::bf16:
      return add(list, "--bf16");
    case Precision::fp16:
      return add(list, "--fp16");
    case Precision::fp32:
      return;
    case Precision::fp8:
      add(list, "--bf16");
      add(list, "--fp8-format", "hybrid");
      return add(list, "--fp8-recipe", says(problem.software, "current scaling") ? "tensorwise" : "delayed");
    case Precision::mxfp8:
      add(list, "--bf16");
      add(list, "--fp8-format", "e4m3");
      return add(list, "--fp8-recipe", "mxfp8");
    case Precision::nvfp4:
      add(list, "--bf16");
      add(list, "--fp4-format", "e2m1");
      return add(list, "--fp4-recipe", "nvfp4");
  }
}

void add_recompute(const Plan& plan, List& list) {
  if (plan.recompute == Recompute::none) return;
  add(list, "--recompute-granularity", plan.recompute == Recompute::full ? "full" : "selective");
  if (plan.recompute == Recompute::selective) return add(list, "--recompute-modules", "core_attn");
  // uniform, 1: every layer keeps its input alone. block, n: so do the first n layers of each chunk.
  add(list, "--recompute-method", plan.recompute_layers > 0 ? "block" : "uniform");
  add(list, "--recompute-num-layers", std::max(1, plan.recompute_layers));
}

List training_arguments(const Problem& problem, const Plan& plan) {
  const Software& software = problem.software;
  List list;
  add(list, "--micro-batch-size", plan.micro_batch);
  add(list, "--global-batch-size", problem.training.global_batch);
  add(list, "--optimizer", kOptimizerNames[static_cast<std::size_t>(problem.training.optimizer)]);
  add_precision(problem, list);
  add(list, "--attention-backend", software.attention == AttentionKind::unfused ? "unfused" : "auto");
  if (software.cuda_graphs) add(list, "--cuda-graph-impl", "local");
  if (says(software, "fused cross entropy") || says(software, "compiled cross entropy")) {
    add(list, "--cross-entropy-loss-fusion");
    add(list, "--cross-entropy-fusion-impl", says(software, "fused cross entropy") ? "te" : "native");
  }
  if (says(software, "grad_sync_dtype bf16")) add(list, "--grad-reduce-in-bf16");
  if (says(software, "no gradient accumulation fusion")) add(list, "--no-gradient-accumulation-fusion");
  if (says(software, "deterministic mode")) add(list, "--deterministic-mode");
  add_recompute(plan, list);
  return list;
}

void add_pipeline(const Problem& problem, const Plan& plan, List& list) {
  add(list, "--pipeline-model-parallel-size", plan.pipeline);
  if (!plan.stage_layers.empty()) {
    add(list, "--pipeline-model-parallel-layout",
        fmt::format("'{}'", megatron_layout(plan.stage_layers, problem.model.mtp_layers)));
  } else if (plan.virtual_pipeline > 1) {
    add(list, "--num-virtual-stages-per-pipeline-rank", plan.virtual_pipeline);
  }
  if (plan.account_for_embedding) add(list, "--account-for-embedding-in-pipeline-split");
  if (plan.account_for_loss) add(list, "--account-for-loss-in-pipeline-split");
  if (plan.virtual_pipeline > 1 && !plan.overlap.pipeline) add(list, "--no-overlap-p2p-communication");
}

void add_sharding(const Plan& plan, List& list) {
  if (plan.zero_stage == 1) add(list, "--use-distributed-optimizer");
  if (plan.zero_stage >= 2) {
    add(list, "--use-megatron-fsdp");
    add(list, "--use-distributed-optimizer");
    add(list, "--data-parallel-sharding-strategy", plan.zero_stage == 2 ? "optim_grads" : "optim_grads_params");
    add(list, "--ckpt-format", "fsdp_dtensor");
  }
  if (plan.shard_group > 0)
    add(list, "--num-distributed-optimizer-instances", std::int64_t{plan.data} * plan.context / plan.shard_group);
  if (plan.overlap.data) {
    add(list, "--overlap-grad-reduce");
    if (plan.zero_stage > 0) add(list, "--overlap-param-gather");
  }
}

List parallel_arguments(const Problem& problem, const Plan& plan) {
  constexpr std::array<std::string_view, 3> kContextKinds = {"p2p", "a2a", "all_gather"};
  List list;
  add(list, "--tensor-model-parallel-size", plan.tensor);
  if (plan.sequence_parallel) add(list, "--sequence-parallel");
  if (plan.overlap.tensor) add(list, "--tp-comm-overlap");
  add_pipeline(problem, plan, list);
  add(list, "--context-parallel-size", plan.context);
  if (plan.context > 1 || plan.context_kind != ContextKind::ring)
    add(list, "--cp-comm-type", kContextKinds[static_cast<std::size_t>(plan.context_kind)]);
  if (problem.model.moe) {
    add(list, "--expert-model-parallel-size", plan.expert);
    add(list, "--expert-tensor-parallel-size", plan.expert_tensor);
  }
  add_sharding(plan, list);
  if (plan.rank_order == "tp-cp-ep-pp-dp") add(list, "--use-tp-pp-dp-mapping");
  if (plan.offload.optimizer > 0) {
    add(list, "--optimizer-cpu-offload");
    add(list, "--optimizer-offload-fraction", plan.offload.optimizer);
    add(list, "--use-precision-aware-optimizer");
  }
  if (plan.offload.activations > 0) {
    const double layers = plan.offload.activations * static_cast<double>(problem.model.layers);
    add(list, "--cpu-offloading-num-layers", static_cast<std::int64_t>(layers + 0.5));
  }
  return list;
}

}  // namespace

MegatronArguments megatron_arguments(const Problem& problem, const Plan& plan) {
  return {.model = model_arguments(problem),
          .training = training_arguments(problem, plan),
          .parallel = parallel_arguments(problem, plan)};
}

std::string megatron_layout(const std::vector<std::int32_t>& stage_layers, std::int64_t mtp) {
  const auto repeated = [](char layer, std::int64_t n) {
    return n == 0 ? std::string() : n == 1 ? std::string(1, layer) : fmt::format("{}*{}", layer, n);
  };
  std::string text = "E";
  for (std::size_t i = 0; i < stage_layers.size(); ++i) text += (i > 0 ? "|" : "") + repeated('t', stage_layers[i]);
  return text + repeated('m', mtp) + "L";
}

bool needs_one_connection(const Problem& problem, const Plan& plan) {
  return (plan.tensor > 1 || plan.context > 1) && plan.zero_stage < 2 && problem.cluster.gpu.compute_capability < 100;
}

}  // namespace foretrain
