/// Megatron-LM's arguments as attributes of a Megatron-Bridge configuration, for writing and reading recipes.
#pragma once

#include <array>
#include <string_view>

namespace foretrain {

/// `flag` given is `attribute` set to its value; a switch sets it to `when_given` ("" = the flag takes a value).
struct BridgeKey {
  std::string_view flag, attribute, when_given = {};
  bool is_text = false;             ///< the value is a string
  std::string_view otherwise = {};  ///< what is written where the flag is not given; "" = nothing
};

/// Source: NVIDIA-NeMo/Megatron-Bridge src/megatron/bridge/models/gpt_provider.py, training/config.py,
/// training/comm_overlap.py, recipes/common.py (067f987df03b), whose attributes are those of Megatron-Core's
/// dataclasses.
inline constexpr std::array kBridgeKeys = {
    BridgeKey{"--num-layers", "model.num_layers", ""},
    BridgeKey{"--hidden-size", "model.hidden_size", ""},
    BridgeKey{"--ffn-hidden-size", "model.ffn_hidden_size", ""},
    BridgeKey{"--num-attention-heads", "model.num_attention_heads", ""},
    BridgeKey{"--kv-channels", "model.kv_channels", ""},
    BridgeKey{"--num-query-groups", "model.num_query_groups", ""},
    BridgeKey{"--seq-length", "model.seq_length", ""},
    BridgeKey{"--vocab-size", "model.vocab_size", ""},
    BridgeKey{"--position-embedding-type", "model.position_embedding_type", "", true},
    BridgeKey{"--normalization", "model.normalization", "", true},
    BridgeKey{"--swiglu", "model.gated_linear_unit", "True"},
    BridgeKey{"--disable-bias-linear", "model.add_bias_linear", "False"},
    BridgeKey{"--add-qkv-bias", "model.add_qkv_bias", "True"},
    BridgeKey{"--qk-layernorm", "model.qk_layernorm", "True"},
    BridgeKey{"--untie-embeddings-and-output-weights", "model.share_embeddings_and_output_weights", "False"},
    BridgeKey{"--attention-dropout", "model.attention_dropout", ""},
    BridgeKey{"--hidden-dropout", "model.hidden_dropout", ""},
    BridgeKey{"--num-experts", "model.num_moe_experts", ""},
    BridgeKey{"--moe-router-topk", "model.moe_router_topk", ""},
    BridgeKey{"--moe-ffn-hidden-size", "model.moe_ffn_hidden_size", ""},
    BridgeKey{"--moe-layer-freq", "model.moe_layer_freq", ""},
    BridgeKey{"--moe-shared-expert-intermediate-size", "model.moe_shared_expert_intermediate_size", ""},
    BridgeKey{"--moe-shared-expert-gate", "model.moe_shared_expert_gate", "True"},
    BridgeKey{"--moe-token-dispatcher-type", "model.moe_token_dispatcher_type", "", true},
    BridgeKey{"--moe-grouped-gemm", "model.moe_grouped_gemm", "True"},
    BridgeKey{"--moe-router-enable-expert-bias", "model.moe_router_enable_expert_bias", "True"},
    BridgeKey{"--moe-router-score-function", "model.moe_router_score_function", "", true},
    BridgeKey{"--moe-router-load-balancing-type", "model.moe_router_load_balancing_type", "", true},
    BridgeKey{"--moe-aux-loss-coeff", "model.moe_aux_loss_coeff", ""},
    BridgeKey{"--micro-batch-size", "train.micro_batch_size", ""},
    BridgeKey{"--global-batch-size", "train.global_batch_size", ""},
    BridgeKey{"--optimizer", "optimizer.optimizer", "", true},
    BridgeKey{"--cuda-graph-impl", "model.cuda_graph_impl", "", true},
    BridgeKey{"--cross-entropy-loss-fusion", "model.cross_entropy_loss_fusion", "True", false, "False"},
    BridgeKey{"--cross-entropy-fusion-impl", "model.cross_entropy_fusion_impl", "", true},
    BridgeKey{"--grad-reduce-in-bf16", "ddp.grad_reduce_in_fp32", "False", false, "True"},
    BridgeKey{"--no-gradient-accumulation-fusion", "model.gradient_accumulation_fusion", "False"},
    BridgeKey{"--deterministic-mode", "model.deterministic_mode", "True"},
    BridgeKey{"--recompute-granularity", "model.recompute_granularity", "", true},
    BridgeKey{"--recompute-method", "model.recompute_method", "", true},
    BridgeKey{"--recompute-num-layers", "model.recompute_num_layers", ""},
    BridgeKey{"--tensor-model-parallel-size", "model.tensor_model_parallel_size", ""},
    BridgeKey{"--sequence-parallel", "model.sequence_parallel", "True"},
    BridgeKey{"--pipeline-model-parallel-size", "model.pipeline_model_parallel_size", ""},
    BridgeKey{"--pipeline-model-parallel-layout", "model.pipeline_model_parallel_layout", "", true},
    BridgeKey{"--num-virtual-stages-per-pipeline-rank", "model.virtual_pipeline_model_parallel_size", ""},
    BridgeKey{"--account-for-embedding-in-pipeline-split", "model.account_for_embedding_in_pipeline_split", "True"},
    BridgeKey{"--account-for-loss-in-pipeline-split", "model.account_for_loss_in_pipeline_split", "True"},
    BridgeKey{"--context-parallel-size", "model.context_parallel_size", ""},
    BridgeKey{"--cp-comm-type", "model.cp_comm_type", "", true},
    BridgeKey{"--expert-model-parallel-size", "model.expert_model_parallel_size", ""},
    BridgeKey{"--expert-tensor-parallel-size", "model.expert_tensor_parallel_size", ""},
    BridgeKey{"--use-distributed-optimizer", "ddp.use_distributed_optimizer", "True", false, "False"},
    BridgeKey{"--use-megatron-fsdp", "ddp.use_megatron_fsdp", "True"},
    BridgeKey{"--data-parallel-sharding-strategy", "ddp.data_parallel_sharding_strategy", "", true},
    BridgeKey{"--ckpt-format", "checkpoint.ckpt_format", "", true},
    BridgeKey{"--num-distributed-optimizer-instances", "ddp.num_distributed_optimizer_instances", ""},
    BridgeKey{"--overlap-grad-reduce", "ddp.overlap_grad_reduce", "True", false, "False"},
    BridgeKey{"--overlap-param-gather", "ddp.overlap_param_gather", "True", false, "False"},
    BridgeKey{"--tp-comm-overlap", "comm_overlap.tp_comm_overlap", "True", false, "False"},
    BridgeKey{"--no-overlap-p2p-communication", "comm_overlap.overlap_p2p_comm", "False"},
    BridgeKey{"--use-tp-pp-dp-mapping", "dist.use_tp_pp_dp_mapping", "True"},
    BridgeKey{"--optimizer-cpu-offload", "optimizer.optimizer_cpu_offload", "True"},
    BridgeKey{"--optimizer-offload-fraction", "optimizer.optimizer_offload_fraction", ""},
    BridgeKey{"--use-precision-aware-optimizer", "optimizer.use_precision_aware_optimizer", "True"},
    BridgeKey{"--cpu-offloading-num-layers", "model.cpu_offloading_num_layers", ""},
};

/// Formats by the name of their recipe, with Megatron-LM's flags for the same. Source: training/mixed_precision.py.
struct BridgePrecision {
  std::string_view name, flags;
};
inline constexpr std::array kBridgePrecisions = {
    BridgePrecision{"bf16_mixed", "--bf16"},
    BridgePrecision{"fp16_mixed", "--fp16"},
    BridgePrecision{"bf16_with_fp8_delayed_scaling_mixed", "--bf16 --fp8-format=hybrid --fp8-recipe=delayed"},
    BridgePrecision{"bf16_with_fp8_current_scaling_mixed", "--bf16 --fp8-format=hybrid --fp8-recipe=tensorwise"},
    BridgePrecision{"bf16_with_mxfp8_mixed", "--bf16 --fp8-format=e4m3 --fp8-recipe=mxfp8"},
    BridgePrecision{"bf16_with_nvfp4_mixed", "--bf16 --fp4-format=e2m1 --fp4-recipe=nvfp4"},
};

}  // namespace foretrain
