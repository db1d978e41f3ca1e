#include "planner/memory.h"

#include <algorithm>
#include <cmath>

#include "planner/pass_memory.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

// Driver, runtime and library state of one process before its first tensor. Assumed: 0.5 GiB before Hopper, 0.6 GiB
// since; nvidia-smi shows 420-620 MiB for a PyTorch process that has loaded cuBLAS.
constexpr std::int64_t kContextBytes = 512LL << 20;
constexpr std::int64_t kContextBytesHopper = 614LL << 20;
// NCCL buffers of one communicator: 16 channels of LL 0.5, LL128 4.7 and Simple 4 MiB. Source: NVIDIA/nccl 2.28.9
// src/include/device.h.
constexpr std::int64_t kCommunicatorBytes = 16 * ((512LL << 10) + 4915200 + (4LL << 20));
// Share of the dynamic memory that PyTorch's caching allocator cannot hand out (rounding, fragmentation). Assumed.
constexpr double kAllocatorSlack = 0.03;

std::int64_t whole(double bytes) { return std::llround(std::ceil(bytes)); }

std::int64_t communication_bytes(const Plan& plan, const PlanCosts& costs, const StageCost& stage) {
  std::int64_t communicators = 0;
  if (plan.tensor > 1) ++communicators;
  if (plan.pipeline > 1) ++communicators;
  if (plan.context > 1) ++communicators;
  if (plan.data * plan.context > 1) ++communicators;
  std::int64_t total = communicators * kCommunicatorBytes;
  if (plan.zero_stage == 3 && costs.shard_ranks > 1) {
    // Gathered 16-bit parameters of the layer at work and of the one prefetched, the stage's embedding and head, and
    // one layer's unsharded gradients on their way to the reduce-scatter.
    const std::int64_t layer = costs.blocks->parameters.layer;
    const std::int64_t ends = stage.parameters - stage.layers * layer;
    total += 2 * (2 * layer + ends) + whole(static_cast<double>(layer) * costs.framework.gradient_reduce_bytes);
  }
  return total;
}

}  // namespace

StateBytes state_bytes(std::int64_t parameters, int zero_stage, std::int64_t shard_ranks, double parameter_bytes,
                       double gradient_bytes, double optimizer_bytes) {
  const double n = static_cast<double>(parameters);
  const double k = static_cast<double>(shard_ranks);
  return {.parameters = whole(n * parameter_bytes / (zero_stage >= 3 ? k : 1)),
          .gradients = whole(n * gradient_bytes / (zero_stage >= 2 ? k : 1)),
          .optimizer = whole(n * optimizer_bytes / (zero_stage >= 1 ? k : 1))};
}

MemoryAnatomy stage_memory(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                           std::int32_t s) {
  const StageCost& stage = costs.stages[static_cast<std::size_t>(s)];
  const FrameworkSpec& f = costs.framework;
  MemoryAnatomy m;
  m.stage = s;
  m.layers = stage.layers;
  const double optimizer_bytes =
      problem.training.optimizer == Optimizer::adam ? f.optimizer_bytes : f.optimizer_bytes - 4;
  const StateBytes state = state_bytes(stage.parameters, plan.zero_stage, costs.shard_ranks, f.parameter_bytes,
                                       f.gradient_bytes, optimizer_bytes);
  m[MemoryLabel::parameters] = state.parameters;
  m[MemoryLabel::gradients] = state.gradients;
  m[MemoryLabel::optimizer] = whole(static_cast<double>(state.optimizer) * (1 - plan.offload.optimizer));
  m[MemoryLabel::communication] = communication_bytes(plan, costs, stage);
  m[MemoryLabel::cuda_context] = problem.cluster.gpu.compute_capability >= 90 ? kContextBytesHopper : kContextBytes;

  const std::size_t pipeline = static_cast<std::size_t>(plan.pipeline);
  std::array<PassMemory, 64> by_chunk;
  const std::size_t chunks = std::min<std::size_t>(static_cast<std::size_t>(plan.virtual_pipeline), by_chunk.size());
  for (std::size_t v = 0; v < chunks; ++v)
    by_chunk[v] = pass_memory(plan, costs, v * pipeline + static_cast<std::size_t>(s));
  std::int64_t most = -1;
  for (const PeakMoment& moment : moments.of(plan.schedule, pipeline_shape(plan, costs), s)) {
    std::int64_t activations = 0;
    std::int64_t logits = 0;
    for (std::size_t v = 0; v < chunks; ++v) {
      activations += moment.held[v] * by_chunk[v].activations;
      logits += moment.held[v] * by_chunk[v].logits;
    }
    const PassMemory& pass = by_chunk[static_cast<std::size_t>(moment.chunk)];
    const std::int64_t working = moment.kind == sim::PassKind::forward ? pass.forward_working : pass.backward_working;
    logits += pass.logits_working;
    if (activations + logits + working > most) {
      most = activations + logits + working;
      m[MemoryLabel::activations] = activations;
      m[MemoryLabel::logits] = logits;
      m[MemoryLabel::temporary] = working;
    }
  }
  m[MemoryLabel::allocator] = whole(kAllocatorSlack * static_cast<double>(std::max<std::int64_t>(most, 0)));
  for (const std::int64_t b : m.by_label) m.total += b;
  return m;
}

std::vector<MemoryAnatomy> memory_anatomy(const Problem& problem, const Plan& plan, const PlanCosts& costs,
                                          PeakMoments& moments) {
  std::vector<MemoryAnatomy> stages;
  stages.reserve(static_cast<std::size_t>(plan.pipeline));
  for (std::int32_t s = 0; s < plan.pipeline; ++s) stages.push_back(stage_memory(problem, plan, costs, moments, s));
  return stages;
}

Bytes memory_limit(const GpuSpec& gpu) { return gpu.memory; }

}  // namespace foretrain
