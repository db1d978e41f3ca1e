#include "planner/plan_cost.h"

#include <algorithm>
#include <cmath>

#include "hwmodels/calibration.h"
#include "hwmodels/sm_share.h"
#include "planner/fixed_memory.h"
#include "planner/groups.h"

namespace foretrain {
namespace {

struct DataGroups {
  GroupLayout shard, replica;  // replica.ranks == 1 without HSDP
};
DataGroups data_groups(const Plan& plan, const ClusterSpec& cluster) {
  const std::int64_t all = std::int64_t{plan.data} * plan.context;
  const std::int64_t shard = shard_ranks(plan);
  return {.shard = group_layout(shard, plan.tensor, cluster),
          .replica = group_layout(all / shard, plan.tensor * shard, cluster)};
}

Message message(const Problem& problem, CollectiveOp op, double size, const GroupLayout& group,
                const LinkShares& shares = {}) {
  if (group.ranks <= 1 || size <= 0) return {};
  const CalibratedCollectiveTime t =
      collective_time(op, size * bytes, group, problem.cluster, problem.calibration.get());
  Message m = to_message(op, size * bytes, slowed(t.time, shares));
  m.use = t.use;
  return m;
}

DataParallelCost data_parallel_cost(const Problem& problem, const Plan& plan, const PlanCosts& costs,
                                    std::int64_t parameters, double end_parameters, const StageHealth& health) {
  const FrameworkSpec& f = costs.framework;
  const DataGroups groups = data_groups(plan, problem.cluster);
  const double ranks = static_cast<double>(plan.data) * plan.context;
  DataParallelCost d;
  if (ranks <= 1) return d;
  const double n = static_cast<double>(parameters);
  const double reduce_bytes = f.gradient_reduce_bytes;
  const double gathered_bytes = std::min(2.0, f.parameter_bytes);
  if (plan.zero_stage == 3) {
    const double layer = static_cast<double>(costs.blocks->parameters.layer);
    d.layer_gather = message(problem, CollectiveOp::all_gather, layer * gathered_bytes, groups.shard, health.data);
    d.layer_reduce = message(problem, CollectiveOp::reduce_scatter, layer * reduce_bytes, groups.shard, health.data);
    d.ends_gather =
        message(problem, CollectiveOp::all_gather, end_parameters * gathered_bytes, groups.shard, health.data);
    d.ends_reduce =
        message(problem, CollectiveOp::reduce_scatter, end_parameters * reduce_bytes, groups.shard, health.data);
    d.replica_reduce =
        message(problem, CollectiveOp::all_reduce, n * reduce_bytes / static_cast<double>(groups.shard.ranks),
                groups.replica, health.replica);
    return d;
  }
  const double bucket = std::max(f.bucket_parameters, 1e6 * ranks);
  // Each chunk of the stage has its own gradient buffer, and so buckets of its own.
  const double chunks = plan.virtual_pipeline;
  d.buckets = plan.virtual_pipeline *
              static_cast<std::int32_t>(std::clamp(std::round(n / chunks / bucket), 1.0, std::max(1.0, 64 / chunks)));
  const double per_bucket = n / d.buckets;
  if (plan.zero_stage == 0) {
    d.reduce = message(problem, CollectiveOp::all_reduce, per_bucket * reduce_bytes, data_group(plan, problem.cluster),
                       health.data);
    return d;
  }
  d.reduce = message(problem, CollectiveOp::reduce_scatter, per_bucket * reduce_bytes, groups.shard, health.data);
  d.gather = message(problem, CollectiveOp::all_gather, per_bucket * gathered_bytes, groups.shard, health.data);
  d.replica_reduce =
      message(problem, CollectiveOp::all_reduce, n * reduce_bytes / static_cast<double>(groups.shard.ranks),
              groups.replica, health.replica);
  return d;
}

TimedKernel timed(const Problem& problem, MemoryOp op, double elements, double read, double written) {
  MemoryKernel k = memory_kernel(op, false, 1, std::max<std::int64_t>(1, std::llround(elements)), DType::fp32);
  k.read = read * bytes;
  k.written = written * bytes;
  return {k, to_picoseconds(kernel_time(k, problem.cluster.gpu, problem.efficiency, problem.calibration.get()).time)};
}

/// Copies that `moved` bytes per parameter of a layer go through beside a ZeRO-3 collective.
Picoseconds copies_of(const Problem& problem, const PlanCosts& c, double moved) {
  const double elements = static_cast<double>(c.blocks->parameters.layer);
  return moved > 0 ? timed(problem, MemoryOp::copy, elements, elements * moved / 2, elements * moved / 2).time
                   : Picoseconds{};
}

Picoseconds scaled(Picoseconds t, double factor) { return {std::llround(static_cast<double>(t.count) * factor)}; }

/// ZeRO-3 runs a layer beside the gathers of the next and the reductions of the last: while they run, NCCL's channels
/// hold their SMs. What it copies before and after them runs on the compute lane.
void slow_beside_gathers(const Problem& problem, const Plan& plan, PlanCosts& c) {
  const GroupLayout shard = data_groups(plan, problem.cluster).shard;
  const double share =
      sm_share(nccl_blocks(CollectiveOp::all_gather, NcclAlgorithm::ring, shard, problem.cluster), problem.cluster.gpu);
  if (share <= 0) return;
  const auto slow = [&](BlockCost& block, std::int64_t layers, Picoseconds beside, Picoseconds copies) {
    const Picoseconds alone = block.gpu;
    const Picoseconds overlapped = std::min(block.gpu, layers * beside);
    const Picoseconds shared{std::llround(static_cast<double>(overlapped.count) * share / (1 - share))};
    const Picoseconds extra = shared + layers * copies;
    block.gpu += extra;
    block.alone += extra;
    block.by_label[0] += extra;
    return alone.count > 0 ? static_cast<double>(block.gpu.count) / static_cast<double>(alone.count) : 1.0;
  };
  const FrameworkSpec& f = c.framework;
  const Picoseconds gathered = copies_of(problem, c, f.gather_copy_bytes);
  const Picoseconds reduced = copies_of(problem, c, f.gather_copy_bytes + f.reduce_copy_bytes);
  for (std::size_t k = 0; k < c.forward.size(); ++k) {
    const DataParallelCost& d = c.stages[k % c.stages.size()].data;
    c.forward_slowdown.push_back(slow(c.forward[k], c.placement.layers[k], d.layer_gather.total, gathered));
    c.backward_slowdown.push_back(
        slow(c.backward[k], c.placement.layers[k], d.layer_gather.total + d.layer_reduce.total, reduced));
  }
}

/// Activations [s/cp, b, h] in 16 bits.
Bytes activation_message(const Problem& problem, const BlockShape& shape) {
  return static_cast<double>(shape.micro_batch) * static_cast<double>(shape.sequence_length) /
         static_cast<double>(shape.context) * static_cast<double>(problem.model.hidden) *
         bytes_per_element(activation_dtype(problem.training.precision)) * bytes;
}

/// Split over the tensor group under sequence parallelism, or where the framework does so.
Message transfer_message(const Problem& problem, const Plan& plan, const FrameworkSpec& f,
                         const LinkShares& shares = {}) {
  if (plan.pipeline == 1) return {};
  const double parts = plan.sequence_parallel || f.splits_pipeline_messages ? plan.tensor : 1;
  return message(problem, CollectiveOp::send_recv,
                 activation_message(problem, block_shape(problem, plan)) / bytes / parts,
                 pipeline_pair(plan, problem.cluster), shares);
}

/// Gathers of a received activation [s/cp, b, h], or of its gradient, over the tensor group that sent it in parts.
std::vector<Op> arrival_gathers(const Problem& problem, const BlockShape& shape, const FrameworkSpec& f, int count) {
  if (shape.tensor == 1 || shape.sequence_parallel || !f.splits_pipeline_messages) return {};
  std::vector<Op> ops{{.work = Join{}, .joins = true}};  // in order with the kernels before, as NCCL's stream is
  for (int i = 0; i < count; ++i)
    ops.push_back({.work = CollectiveCall{.op = CollectiveOp::all_gather, .size = activation_message(problem, shape)},
                   .label = TimeLabel::tensor_exposed});
  return ops;
}

/// The kernel that adds a micro-batch's gradients of `parameters` to the sum of those before: it reads both and writes
/// the sum. The first micro-batch of a step has none before it: each does its average share.
std::vector<Op> gradient_sum(const Problem& problem, const Plan& plan, const PlanCosts& c, std::int64_t parameters) {
  if (!c.framework.sums_gradients || plan.zero_stage >= 2 || c.micro_batches == 1) return {};
  const DType dtype = activation_dtype(problem.training.precision);
  const std::int64_t elements = parameters - parameters / c.micro_batches;
  MemoryKernel k = memory_kernel(MemoryOp::add, false, 1, elements, dtype);
  const double n = static_cast<double>(elements);
  k.read = n * (bytes_per_element(dtype) + c.framework.gradient_bytes) * bytes;
  k.written = n * c.framework.gradient_bytes * bytes;
  return {{.work = k}};
}

/// Parameters of embedding and head on virtual stage `k` of `count`. A tied head beside its embedding shares its table.
std::int64_t end_parameters(const Problem& problem, const RankParameters& p, std::size_t k, std::size_t count) {
  const std::int64_t first = k == 0 ? p.embedding : 0;
  if (k + 1 < count) return first;
  return first + (problem.model.tied_embeddings && count == 1 ? p.final_norm : p.head);
}

}  // namespace

std::vector<TimedKernel> optimizer_kernels(const Problem& problem, const Plan& plan, const PlanCosts& costs,
                                           std::int64_t parameters) {
  const FrameworkSpec& f = costs.framework;
  const double all = static_cast<double>(parameters);
  const double held = all / (plan.zero_stage >= 2 ? costs.shard_ranks : 1);
  const double owned = all / (plan.zero_stage >= 1 ? costs.shard_ranks : 1);
  const double states = problem.training.optimizer == Optimizer::adam ? 12 : 8;  // fp32 master weights and moments
  std::vector<TimedKernel> kernels;
  kernels.reserve(4);
  kernels.push_back(timed(problem, MemoryOp::grad_norm, owned, owned * f.gradient_bytes, 0));
  if (f.gradient_bytes < 4)
    kernels.push_back(timed(problem, MemoryOp::cast, owned, owned * f.gradient_bytes, owned * 4));
  const double adam_read = f.adam_bytes > 0 ? f.adam_bytes * 0.6 : states + 4;  // eager: three tensors in for two out
  const double adam_written = f.adam_bytes > 0 ? f.adam_bytes * 0.4 : states + std::min(2.0, f.parameter_bytes);
  kernels.push_back(timed(problem, MemoryOp::adam, owned, owned * adam_read, owned * adam_written));
  kernels.push_back(timed(problem, MemoryOp::zero, held, 0, held * f.gradient_bytes));
  return kernels;
}

/// As with operations: longer ones are cut, and their plans are far too slow to be chosen.
constexpr Seconds kLongestMessage = 3600.0 * seconds;

Message to_message(CollectiveOp op, Bytes size, const CollectiveTime& t) {
  Message m;
  m.op = op;
  m.size = size;
  m.algorithm = t.algorithm;
  m.protocol = t.protocol;
  m.total = to_picoseconds(min(t.time, kLongestMessage));
  m.fixed = m.total;
  const Seconds moving = t.time - t.latency;
  if (t.network_bytes_per_gpu.base() > 0 && moving.base() > 0) {
    m.fixed = to_picoseconds(t.latency);
    m.flow = t.network_bytes_per_gpu;
    m.rate = t.network_bytes_per_gpu / moving;
    m.crossing = t.leaf_crossing;
  }
  return m;
}

std::int32_t micro_batches(const Problem& problem, const Plan& plan) {
  return static_cast<std::int32_t>(problem.training.global_batch / (std::int64_t{plan.micro_batch} * plan.data));
}

std::int32_t shard_ranks(const Plan& plan) {
  return plan.shard_group > 0 ? plan.shard_group : plan.data * plan.context;
}

std::int64_t recomputed_layers(const Plan& plan, std::int64_t layers_on_chunk) {
  if (plan.recompute != Recompute::full) return 0;
  return plan.recompute_layers == 0 ? layers_on_chunk : std::min<std::int64_t>(plan.recompute_layers, layers_on_chunk);
}

BlockShape block_shape(const Problem& problem, const Plan& plan) {
  return {.tensor = plan.tensor,
          .context = plan.context,
          .micro_batch = plan.micro_batch,
          .sequence_length = problem.training.sequence_length,
          .sequence_parallel = plan.sequence_parallel,
          .tensor_overlap = plan.overlap.tensor,
          .context_kind = plan.context_kind,
          .recompute = plan.recompute};
}

BlockCosts block_costs(const Problem& problem, const BlockShape& shape, const FrameworkSpec& framework,
                       const CellHealth& health) {
  BlockCosts c;
  c.shape = shape;
  const auto cost = [&](BlockKind kind, const BlockShape& s, bool backward) {
    return block_cost(block_ops(kind, problem.model, s, problem.software, problem.training.precision, framework), s,
                      problem, framework, backward, health);
  };
  BlockShape kept = shape;
  kept.recompute = Recompute::none;
  c.layer_forward = cost(BlockKind::layer_forward, shape, false);
  c.layer_backward = cost(BlockKind::layer_backward, shape, true);
  c.layer_backward_kept =
      shape.recompute == Recompute::full ? cost(BlockKind::layer_backward, kept, true) : c.layer_backward;
  c.embedding_forward = cost(BlockKind::embedding_forward, shape, false);
  c.embedding_backward = cost(BlockKind::embedding_backward, shape, true);
  c.head_forward = cost(BlockKind::head_forward, shape, false);
  c.head_backward = cost(BlockKind::head_backward, shape, true);
  c.forward_arrival = arrival_gathers(problem, shape, framework, framework.forward_gathers);
  c.backward_arrival = arrival_gathers(problem, shape, framework, framework.backward_gathers);
  c.forward_arrival_cost = block_cost(c.forward_arrival, shape, problem, framework, false, health);
  c.backward_arrival_cost = block_cost(c.backward_arrival, shape, problem, framework, true, health);
  c.traits = memory_traits(problem.software, problem.training.precision, framework.fused_cross_entropy,
                           problem.cluster.gpu.compute_capability);
  c.activations =
      activation_bytes(problem.model, shape, problem.software, problem.training.precision, framework, c.traits);
  c.parameters = rank_parameters(problem.model, shape.tensor);
  return c;
}

const Message& transfer_to(const PlanCosts& costs, std::size_t stage, bool forward) {
  const std::vector<Message>& own = forward ? costs.forward_transfers : costs.backward_transfers;
  return own.empty() ? costs.transfer : own[stage];
}

PlanCosts plan_costs(const Problem& problem, const Plan& plan, std::shared_ptr<const BlockCosts> blocks,
                     const FrameworkSpec& framework, const ReplicaHealth* health) {
  static const StageHealth kHealthy;
  PlanCosts c;
  c.framework = framework;
  c.blocks = std::move(blocks);
  c.placement = place_layers(problem.model, plan);
  c.micro_batches = micro_batches(problem, plan);
  c.shard_ranks = shard_ranks(plan);
  const BlockCosts& b = *c.blocks;
  c.workspace_bytes = workspace_bytes(problem, plan, b.traits);
  c.nccl_bytes = nccl_bytes(problem, plan);
  const std::size_t virtual_stages = c.placement.layers.size();
  c.forward.resize(virtual_stages);
  c.backward.resize(virtual_stages);
  c.gradient_sums.resize(virtual_stages);
  for (std::size_t k = 0; k < virtual_stages; ++k) {
    const std::int64_t layers = c.placement.layers[k];
    const StageHealth* faulty =
        health != nullptr ? &health->stages[k % static_cast<std::size_t>(plan.pipeline)] : nullptr;
    if (faulty == nullptr && k > 0 && k + 1 < virtual_stages && layers == c.placement.layers[k - 1] && k > 1) {
      c.forward[k] = c.forward[k - 1];
      c.backward[k] = c.backward[k - 1];
      c.gradient_sums[k] = c.gradient_sums[k - 1];
      continue;
    }
    const std::int64_t recomputed = recomputed_layers(plan, layers);
    const BlockCosts& own = faulty != nullptr ? *faulty->blocks : b;
    BlockCost forward = repeat(own.layer_forward, layers);
    BlockCost backward = plan.recompute == Recompute::full ? repeat(own.layer_backward, recomputed) +
                                                                 repeat(own.layer_backward_kept, layers - recomputed)
                                                           : repeat(own.layer_backward, layers);
    if (k == 0) {
      forward = own.embedding_forward + forward;
      backward = backward + own.embedding_backward;
    }
    if (k + 1 == virtual_stages) {
      forward = forward + own.head_forward;
      backward = own.head_backward + backward;
    }
    c.gradient_sums[k] = gradient_sum(
        problem, plan, c, layers * b.parameters.layer + end_parameters(problem, b.parameters, k, virtual_stages));
    c.forward[k] = k > 0 ? own.forward_arrival_cost + forward : forward;
    c.backward[k] = (k + 1 < virtual_stages ? own.backward_arrival_cost + backward : backward) +
                    block_cost(c.gradient_sums[k], b.shape, problem, framework, true,
                               faulty != nullptr ? faulty->cell : CellHealth{});
  }

  const std::size_t stages = static_cast<std::size_t>(plan.pipeline);
  c.stages.resize(stages);
  for (std::size_t s = 0; s < stages; ++s) {
    StageCost& stage = c.stages[s];
    for (std::size_t k = s; k < virtual_stages; k += stages) stage.layers += c.placement.layers[k];
    const bool last = s + 1 == stages;
    const std::int64_t ends =
        (s == 0 ? end_parameters(problem, b.parameters, 0, virtual_stages) : 0) +
        (last && virtual_stages > 1 ? end_parameters(problem, b.parameters, virtual_stages - 1, virtual_stages) : 0);
    stage.parameters = stage.layers * b.parameters.layer + ends;
    const StageHealth& h = health != nullptr ? health->stages[s] : kHealthy;
    if (health == nullptr && s > 1 && !last && stage.parameters == c.stages[s - 1].parameters) {
      stage = c.stages[s - 1];
      continue;
    }
    stage.data = data_parallel_cost(problem, plan, c, stage.parameters, static_cast<double>(ends), h);
    for (const TimedKernel& k : optimizer_kernels(problem, plan, c, stage.parameters)) stage.optimizer += k.time;
    if (h.cell.compute < 1) stage.optimizer = scaled(stage.optimizer, 1 / h.cell.compute);
    if (plan.sequence_parallel && plan.tensor > 1) {
      const double norms = static_cast<double>(stage.layers * problem.model.norms_per_layer * problem.model.hidden);
      stage.gradient_tail = message(problem, CollectiveOp::all_reduce, norms * framework.gradient_bytes,
                                    tensor_group(plan, problem.cluster), h.cell.tensor);
    }
  }
  if (plan.zero_stage == 3) slow_beside_gathers(problem, plan, c);
  c.transfer = transfer_message(problem, plan, framework);
  if (health != nullptr) {
    for (const StageHealth& h : health->stages) {
      c.forward_transfers.push_back(transfer_message(problem, plan, framework, h.forward_arrival));
      c.backward_transfers.push_back(transfer_message(problem, plan, framework, h.backward_arrival));
    }
  }
  if (plan.pipeline > 1 && problem.model.tied_embeddings) {
    const double table =
        static_cast<double>(vocabulary_per_rank(problem.model.vocab, plan.tensor) * problem.model.hidden);
    const std::int64_t stride = gpus_used(plan) / plan.pipeline * (plan.pipeline - 1);
    c.embedding_reduce =
        message(problem, CollectiveOp::all_reduce, table * framework.gradient_bytes,
                group_layout(2, stride, problem.cluster), health != nullptr ? health->embedding : LinkShares{});
  }
  const std::int64_t model_parallel = std::int64_t{plan.tensor} * plan.pipeline;
  c.norm_reduce = message(problem, CollectiveOp::all_reduce, 8, group_layout(model_parallel, 1, problem.cluster));
  return c;
}

}  // namespace foretrain
