/// What the parts of a plan cost: its passes, messages, gradient reductions and optimizer steps. Bound and lowering
/// both read these numbers, which is why one can never exceed the other's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/time_point.h"
#include "planner/activation.h"
#include "planner/block_cost.h"
#include "planner/placement.h"
#include "planner/problem.h"
#include "planner/sharding.h"

namespace foretrain {

/// Everything of a plan that depends on its BlockShape alone.
struct BlockCosts {
  BlockShape shape;
  BlockCost layer_forward, layer_backward;  ///< backward repeats what shape.recompute asks for
  BlockCost layer_backward_kept;            ///< of a layer that keeps its activations (recompute_layers)
  BlockCost embedding_forward, embedding_backward, head_forward, head_backward;
  /// What a pass does first with the message that it got from another stage, and its cost.
  std::vector<Op> forward_arrival, backward_arrival;
  BlockCost forward_arrival_cost, backward_arrival_cost;
  MemoryTraits traits;
  ActivationBytes activations;
  RankParameters parameters;
  /// A layer's part of full recomputation: layer_forward again; zero otherwise (for the report).
};
BlockCosts block_costs(const Problem& problem, const BlockShape& shape, const FrameworkSpec& framework,
                       const CellHealth& health = {});
BlockShape block_shape(const Problem& problem, const Plan& plan);

/// A message or collective on a communication lane: `fixed`, then `flow` bytes through the GPU's share of the NICs at
/// up to `rate`. Without network traffic the flow is 0. `total` is its time when it has the network for itself.
struct Message {
  CollectiveOp op = CollectiveOp::all_reduce;
  Bytes size;  ///< as CollectiveTime counts it
  Picoseconds fixed, total;
  Bytes flow;
  BytesPerSecond rate;
  double crossing = 0;  ///< part of the flow that leaves its leaf
  NcclAlgorithm algorithm = NcclAlgorithm::none;
  NcclProtocol protocol = NcclProtocol::none;
  CalibrationUse use = CalibrationUse::none;  ///< what a calibration had to say of it
};
Message to_message(CollectiveOp op, Bytes size, const CollectiveTime& time);

/// What a stage's data-parallel group does once a step.
struct DataParallelCost {
  std::int32_t buckets = 1;            ///< equal ones
  Message reduce;                      ///< of one bucket: all-reduce, or reduce-scatter from ZeRO-1 on
  Message replica_reduce;              ///< HSDP: all-reduce of the shards over the replicas; zero time without
  Message gather;                      ///< ZeRO-1/2: parameters of one bucket
  Message layer_gather, layer_reduce;  ///< ZeRO-3: one layer's parameters and gradients
  Message ends_gather, ends_reduce;    ///< ZeRO-3: embedding and head of this stage, together
};

struct StageCost {
  std::int64_t parameters = 0;  ///< on one GPU before data-parallel sharding
  std::int64_t layers = 0;
  DataParallelCost data;
  Message gradient_tail;  ///< sums of norm gradients over the tensor group, after the last backward pass
  Picoseconds optimizer;  ///< clipping, scaling, update of this GPU's share, clearing of gradients
};

struct PlanCosts {
  std::shared_ptr<const BlockCosts> blocks;
  Placement placement;
  std::vector<BlockCost> forward, backward;    ///< [virtual stage]
  std::vector<std::vector<Op>> gradient_sums;  ///< [virtual stage] after a backward pass, in `backward` already
  std::vector<double> forward_slowdown,
      backward_slowdown;          ///< [virtual stage] by collectives beside a pass (ZeRO-3); in `forward` already
  std::vector<StageCost> stages;  ///< [stage]
  Message transfer;               ///< activations or their gradients between neighbouring stages
  std::vector<Message> forward_transfers, backward_transfers;  ///< [receiving stage] where they differ; else empty
  Message embedding_reduce;                                    ///< tied embeddings: sum over first and last stage
  Message norm_reduce;                                         ///< global gradient norm over the model-parallel ranks
  std::int64_t workspace_bytes = 0;                            ///< on every stage: workspaces, and NCCL's buffers
  std::int64_t nccl_bytes = 0;
  FrameworkSpec framework;
  std::int32_t micro_batches = 1;
  std::int32_t shard_ranks = 1;  ///< ranks that share one copy of what ZeRO shards
};

/// The message of a pass to `stage`: an activation forward, its gradient backward.
const Message& transfer_to(const PlanCosts& costs, std::size_t stage, bool forward);

/// What a stage of a replica on a faulty cluster has of its healthy speed.
struct StageHealth {
  CellHealth cell;
  LinkShares forward_arrival, backward_arrival;  ///< of the messages that it receives
  LinkShares data, replica;                      ///< of its data-parallel collectives; of HSDP's sums over replicas
  std::shared_ptr<const BlockCosts> blocks;      ///< block_costs of `cell`
};
/// One replica, stage by stage.
struct ReplicaHealth {
  std::vector<StageHealth> stages;
  LinkShares embedding;  ///< of the sum of tied embeddings
};

/// Costs of a legal plan. `blocks` must be block_costs of block_shape(problem, plan). `health`: of a replica that is
/// not in full health, or null.
PlanCosts plan_costs(const Problem& problem, const Plan& plan, std::shared_ptr<const BlockCosts> blocks,
                     const FrameworkSpec& framework, const ReplicaHealth* health = nullptr);

/// One kernel of the optimizer step.
struct TimedKernel {
  Kernel kernel;
  Picoseconds time;
};
/// Kernels of one GPU's optimizer step, in order: gradient norm, fp32 copy of 16-bit gradients, update, clearing of
/// gradients. StageCost::optimizer is their sum.
std::vector<TimedKernel> optimizer_kernels(const Problem& problem, const Plan& plan, const PlanCosts& costs,
                                           std::int64_t parameters);

/// global_batch / (micro_batch x data).
std::int32_t micro_batches(const Problem& problem, const Plan& plan);
/// Ranks over which ZeRO shards: shard_group, or data x context.
std::int32_t shard_ranks(const Plan& plan);
/// Layers of virtual stage k whose activations are recomputed in full.
std::int64_t recomputed_layers(const Plan& plan, std::int64_t layers_on_chunk);

}  // namespace foretrain
