/// Problems for tests, and small plan spaces that together exercise every framework, schedule and sharding choice.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/spec_node.h"
#include "planner/judge.h"
#include "planner/plan_cost.h"
#include "planner/plan_space.h"
#include "planner/problem.h"

namespace foretrain {

inline const Catalogue& test_catalogue() {
  static const Catalogue loaded = Catalogue::load();
  return loaded;
}

/// A job from JSON text. Keys `schema`, `model`, `cluster`, `training` must be there.
inline Problem job(std::string_view json) { return load_problem(SpecNode::parse(json, "job.json"), test_catalogue()); }

/// Costs of one legal plan, made anew.
inline PlanCosts costs_of(const Problem& problem, const Plan& plan) {
  const FrameworkSpec framework = framework_spec(problem);
  return plan_costs(problem, plan,
                    std::make_shared<const BlockCosts>(block_costs(problem, block_shape(problem, plan), framework)),
                    framework);
}

/// GPT (learned positions, biases, dropout) with 7 layers of 6 heads; GPU counts and layers that do not divide.
/// Llama (rotary, gated, grouped queries). Each space is searched whole by the law tests: keep them small.
inline constexpr auto kSmallSpaces = std::to_array<std::string_view>({
    // Megatron-Core: interleaving, embedding and loss as layers, tied embeddings, 20 of 24 GPUs used at times.
    R"({"model": {"layers": 6, "hidden": 512, "ffn_hidden": 1536, "heads": 8, "kv_heads": 2, "vocab": 5000,
                  "gated_mlp": true, "tied_embeddings": true},
        "cluster": {"node": "dgx-h100", "gpus": 20}, "training": {"sequence_length": 256, "global_batch": 48},
        "search": {"micro_batch": [1, 2]}})",
    // The same without any overlap, in fp16, on GPUs that are slow beside their network.
    R"({"model": {"layers": 8, "hidden": 512, "ffn_hidden": 2048, "heads": 8, "vocab": 1000, "gated_mlp": false},
        "cluster": {"node": "dgx-1-v100", "gpus": 16},
        "training": {"sequence_length": 128, "global_batch": 32, "precision": "fp16"},
        "software": {"framework": "megatron-core", "attention": "unfused", "cuda_graphs": true},
        "search": {"micro_batch": [2], "overlap": {"tensor": false, "data": false, "pipeline": false},
                   "recompute_layers": [0, 1]}})",
    // Transformer Engine's tensor overlap, CUDA graphs.
    R"({"model": {"layers": 4, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "kv_heads": 4, "vocab": 32000,
                  "gated_mlp": true},
        "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 512, "global_batch": 16},
        "software": {"framework": "megatron-core", "cuda_graphs": true},
        "search": {"sequence_parallel": true, "tensor": [2, 4], "micro_batch": [1],
                   "overlap": {"tensor": true, "data": true, "pipeline": true}}})",
    // Megatron-DeepSpeed: host synchronises after each message, layers dealt unevenly, dropout, no overlap.
    R"({"model": {"layers": 7, "hidden": 384, "ffn_hidden": 1536, "heads": 6, "vocab": 3001, "gated_mlp": false,
                  "tied_embeddings": true, "dropout": 0.1},
        "cluster": {"node": "dgx-a100-80", "gpus": 12},
        "training": {"sequence_length": 128, "global_batch": 24},
        "software": {"framework": "megatron-deepspeed", "attention": "unfused"}, "search": {"micro_batch": [1, 3]}})",
    // torchtitan: fp32 parameters, gradients reduced after every micro-batch, ZeRO under pipeline stages.
    R"({"model": {"layers": 5, "hidden": 256, "ffn_hidden": 768, "heads": 4, "vocab": 2000, "gated_mlp": true},
        "cluster": {"node": "dgx-a100-80", "gpus": 16}, "training": {"sequence_length": 256, "global_batch": 16},
        "software": {"framework": "torchtitan"}, "search": {"micro_batch": [1, 2], "tensor": [1, 2]}})",
    // ... and without overlapped data parallelism.
    R"({"model": {"layers": 4, "hidden": 256, "ffn_hidden": 768, "heads": 4, "vocab": 2000, "gated_mlp": true},
        "cluster": {"node": "dgx-a100-80", "gpus": 16}, "training": {"sequence_length": 256, "global_batch": 16},
        "software": {"framework": "torchtitan", "cuda_graphs": true},
        "search": {"micro_batch": [1], "overlap": {"tensor": false, "data": false, "pipeline": false}}})",
    // FSDP with shards inside a node and replicas across (HSDP), optimizer half in host memory.
    R"({"model": {"layers": 6, "hidden": 768, "ffn_hidden": 3072, "heads": 12, "vocab": 50257, "gated_mlp": false},
        "cluster": {"node": "aws-p4d.24xlarge", "nodes": 4}, "training": {"sequence_length": 512, "global_batch": 96},
        "software": {"framework": "fsdp", "cuda_graphs": true},
        "search": {"tensor": 1, "shard_group": 8}})",
    // DeepSpeed ZeRO 0 to 3, one pipeline stage for 2 and 3.
    R"({"model": {"layers": 5, "hidden": 512, "ffn_hidden": 2048, "heads": 8, "vocab": 8000, "gated_mlp": false},
        "cluster": {"node": "dgx-1-v100", "gpus": 24},
        "training": {"sequence_length": 128, "global_batch": 48, "precision": "fp16"},
        "software": {"framework": "deepspeed", "attention": "unfused", "cuda_graphs": true},
        "search": {"tensor": [1, 2], "micro_batch": [1, 4]}})",
    // Everything at once: context parallelism of each kind, ZeRO under interleaved stages.
    R"({"model": {"layers": 8, "hidden": 512, "ffn_hidden": 1024, "heads": 8, "kv_heads": 4, "vocab": 10000,
                  "gated_mlp": true},
        "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 512, "global_batch": 16},
        "software": {"framework": "generic", "cuda_graphs": true},
        "search": {"tensor": [1, 2], "context": [1, 2], "context_kind": ["ring", "ulysses", "all-gather"], "micro_batch": [1],
                   "pipeline": [1, 2, 4], "recompute": ["none", "full"], "recompute_layers": [0, 1]}})",
    // Layers placed by hand, none on the last stage.
    R"({"model": {"layers": 9, "hidden": 256, "ffn_hidden": 1024, "heads": 4, "vocab": 64000, "gated_mlp": false},
        "cluster": {"node": "dgx-a100-80", "nodes": 1}, "training": {"sequence_length": 256, "global_batch": 24},
        "software": {"cuda_graphs": true}, "search": {"pipeline": 4, "virtual_pipeline": 1, "stage_layers": [2, 4, 3, 0], "micro_batch": [1, 2]}})",
    // JAX: no launches to speak of; gradients of one micro-batch.
    R"({"model": {"layers": 3, "hidden": 512, "ffn_hidden": 1536, "heads": 8, "vocab": 4000, "gated_mlp": true},
        "cluster": {"node": "dgx-h100", "gpus": 6}, "training": {"sequence_length": 256, "global_batch": 6},
        "software": {"framework": "maxtext"}, "search": {"micro_batch": "any"}})",
});

/// Calls `visit(plan, order)` with every plan of the problem's space.
inline void for_each_plan(const Problem& problem, const std::function<void(const Plan&, std::int64_t)>& visit) {
  const PlanSpace space(problem);
  std::int64_t order = 0;
  for (std::size_t g = 0; g < space.group_count(); ++g)
    space.visit_group(g, [&](const Plan& plan) { visit(plan, order++); });
}

}  // namespace foretrain
