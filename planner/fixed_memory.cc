#include "planner/fixed_memory.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "planner/groups.h"

namespace foretrain {
namespace {

constexpr std::int64_t kMiB = 1LL << 20;

// nvidia-smi shows 420-620 MiB for a PyTorch process that has loaded cuBLAS; the larger GPUs more. Assumed: 512 MiB
// before Hopper, 614 MiB since, and 1.5 GiB where CUDA loads all kernels at once (lazy loading came with CUDA 11.7).
constexpr std::int64_t kContext = 512 * kMiB;
constexpr std::int64_t kContextHopper = 614 * kMiB;
constexpr std::int64_t kContextEager = 1536 * kMiB;

// One connection of one channel: LL 0.5, LL128 4.7 and Simple 4 MiB. Source: NVIDIA/nccl 2.28.9 src/include/device.h.
constexpr std::int64_t kConnectionBytes = (512LL << 10) + 4915200 + 4 * kMiB;
// Connections of a channel that receive: one in the ring; from the parent and from a child in the tree. Pipeline
// stages: the two neighbours.
constexpr std::int64_t kRingAndTree = 3;
constexpr std::int64_t kNeighbours = 2;

// PyTorch gives each thread that multiplies matrices (the main one, autograd's) a workspace of 4096 KiB x 2 + 16 KiB x
// 8, on Hopper and in deterministic mode of 4096 KiB x 8. Source: pytorch aten/src/ATen/cuda/CublasHandlePool.cpp
// (parseChosenWorkspaceSize). Transformer Engine's own: 4 MiB, from Hopper on 32 MiB and 1 KiB. Source:
// NVIDIA/TransformerEngine pytorch/module/base.py (get_cublas_workspace_size_bytes).
constexpr std::int64_t kTorchWorkspace = 8 * kMiB + 128 * 1024;
constexpr std::int64_t kTorchWorkspaceLarge = 32 * kMiB;
constexpr std::int64_t kEngineWorkspace = 4 * kMiB;
constexpr std::int64_t kEngineWorkspaceHopper = 32 * kMiB + 1024;

/// One 16-bit tensor for each shape of a layer's weights.
std::int64_t stand_in_bytes(const ModelSpec& m, std::int64_t tensor) {
  const std::int64_t heads = std::max<std::int64_t>(1, m.heads / tensor);
  const std::int64_t kv_heads = std::max<std::int64_t>(1, m.kv_heads / tensor);
  const std::int64_t ffn = m.ffn_hidden / tensor;
  struct Shape {
    std::int64_t out, in;
    bool operator==(const Shape&) const = default;
  };
  const std::array<Shape, 4> shapes = {{{(heads + 2 * kv_heads) * m.head_dim, m.hidden},
                                        {m.hidden, heads * m.head_dim},
                                        {(m.gated_mlp ? 2 : 1) * ffn, m.hidden},
                                        {m.hidden, ffn}}};
  std::int64_t total = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    if (std::find(shapes.begin(), shapes.begin() + static_cast<std::ptrdiff_t>(i), shapes[i]) !=
        shapes.begin() + static_cast<std::ptrdiff_t>(i))
      continue;
    total += 2 * shapes[i].out * shapes[i].in;
  }
  return total;
}

/// Channels whose connections are held: those of rings and trees as NCCL's search finds them on whole nodes, Volta 12
/// and over nodes 8, Ampere and Hopper 24 and 16, Blackwell 32 and 16. Groups with fewer NICs have fewer; what
/// nvidia-smi shows of them is no less, as connections for send and receive come on top.
std::int64_t buffered_channels(const GroupLayout& group, const ClusterSpec& cluster) {
  const bool one_node = group.ranks <= group.ranks_per_node;
  const int capability = cluster.gpu.compute_capability;
  if (capability == 70) return one_node ? 12 : 8;
  if (capability >= 100 && one_node) return 32;
  return one_node ? 24 : 16;
}

}  // namespace

std::int64_t context_bytes(const GpuSpec& gpu, const MemoryTraits& traits) {
  if (traits.eager_modules) return kContextEager;
  return gpu.compute_capability >= 90 ? kContextHopper : kContext;
}

std::int64_t nccl_bytes(const Problem& problem, const Plan& plan) {
  const ClusterSpec& cluster = problem.cluster;
  std::int64_t connections = 0;
  const auto add = [&](const GroupLayout& group, std::int64_t of_a_channel) {
    if (group.ranks > 1) connections += of_a_channel * buffered_channels(group, cluster);
  };
  const std::int64_t model = std::int64_t{plan.tensor} * plan.pipeline;
  const std::int64_t data = std::int64_t{plan.data} * plan.context;
  add(tensor_group(plan, cluster), kRingAndTree);
  if (plan.context > 1) add(context_group(plan, cluster), kRingAndTree);
  add(data_group(plan, cluster), kRingAndTree);
  if (plan.pipeline > 1) {
    add(pipeline_pair(plan, cluster), kNeighbours);
    if (plan.tensor > 1)
      add(pipeline_pair(plan, cluster), kRingAndTree);  // gradient norm, over tensor and pipeline ranks
  }
  if (model > 1 && data > 1) add(group_layout(model * data, 1, cluster), kRingAndTree);  // all ranks
  return connections * kConnectionBytes;
}

std::int64_t workspace_bytes(const Problem& problem, const Plan& plan, const MemoryTraits& traits) {
  const int capability = problem.cluster.gpu.compute_capability;
  std::int64_t total = 0;
  if (traits.cublas_workspaces)
    total += 2 * (traits.large_workspaces || capability == 90 ? kTorchWorkspaceLarge : kTorchWorkspace);
  if (traits.engine_workspace) total += capability >= 90 ? kEngineWorkspaceHopper : kEngineWorkspace;
  if (traits.gradient_stand_ins) total += stand_in_bytes(problem.model, plan.tensor);
  if (traits.score_buffer && problem.software.attention == AttentionKind::unfused) {
    const std::int64_t heads = std::max<std::int64_t>(1, problem.model.heads / plan.tensor);
    const std::int64_t sequence = problem.training.sequence_length;
    total += 2 * plan.micro_batch * heads * sequence * sequence / plan.context;
  }
  return total;
}

std::int64_t gathered_bytes(const Plan& plan, const PlanCosts& costs, const StageCost& stage) {
  if (plan.zero_stage < 3 || costs.shard_ranks <= 1) return 0;
  const double reduce = costs.framework.gradient_reduce_bytes;
  if (plan.pipeline > 1 && costs.blocks->traits.pipeline_keeps_gathered) {
    const double whole_gradients = costs.micro_batches > 1 ? reduce : 0;
    return std::llround(static_cast<double>(stage.parameters) * (2 + whole_gradients));
  }
  // The layer at work and the one prefetched, the stage's embedding and head, and one layer's whole gradients.
  const std::int64_t layer = costs.blocks->parameters.layer;
  const std::int64_t ends = stage.parameters - stage.layers * layer;
  return 2 * (2 * layer + ends) + std::llround(static_cast<double>(layer) * reduce);
}

}  // namespace foretrain
