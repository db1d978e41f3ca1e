#include "planner/memory.h"

#include <algorithm>
#include <cmath>

#include "planner/fixed_memory.h"
#include "planner/pass_memory.h"
#include "planner/plan_cost.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

// Share of the memory that comes and goes within a step which PyTorch's caching allocator holds on top (rounding,
// fragmentation): what it cannot do without, and what it takes where there is room, for under pressure it frees cached
// blocks before it gives up. Fragmentation averaged 15 % over the training runs of GMLake (arXiv 2401.08156, section
// 5). Assumed: 3 % at least.
constexpr double kAllocatorSlack = 0.03;
constexpr double kAllocatorSlackWithRoom = 0.15;

std::int64_t whole(double bytes) { return std::llround(std::ceil(bytes)); }

/// What the end of a step asks for: the rank's gradients in the optimizer's format, a bucket to reduce them in, and the
/// largest one cast.
std::int64_t step_bytes(const Problem& problem, const Plan& plan, const PlanCosts& costs, const StageCost& stage) {
  const MemoryTraits& traits = costs.blocks->traits;
  const double updated = static_cast<double>(stage.parameters) / (plan.zero_stage >= 1 ? costs.shard_ranks : 1);
  std::int64_t total = whole(updated * traits.step_bytes);
  if (plan.data * plan.context > 1) total += traits.step_buffer;
  const std::int64_t ends = stage.parameters - stage.layers * costs.blocks->parameters.layer;
  const std::int64_t largest = std::max(ends, problem.model.hidden * (problem.model.ffn_hidden / plan.tensor));
  return total + whole(static_cast<double>(largest) * traits.cast_bytes);
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
  const MemoryTraits& traits = costs.blocks->traits;
  MemoryAnatomy m;
  m.stage = s;
  m.layers = stage.layers;
  const double optimizer_bytes =
      problem.training.optimizer == Optimizer::adam ? f.optimizer_bytes : f.optimizer_bytes - 4;
  const StateBytes state = state_bytes(stage.parameters, plan.zero_stage, costs.shard_ranks, f.parameter_bytes,
                                       f.gradient_bytes, optimizer_bytes);
  const bool buckets = plan.zero_stage == 0 && plan.data * plan.context > 1;
  const double further = traits.further_gradient_bytes + (buckets ? traits.bucket_bytes : 0);
  m[MemoryLabel::parameters] = state.parameters;
  m[MemoryLabel::gradients] = state.gradients + whole(static_cast<double>(stage.parameters) * further);
  m[MemoryLabel::optimizer] = whole(static_cast<double>(state.optimizer) * (1 - plan.offload.optimizer));
  m[MemoryLabel::gathered] = gathered_bytes(plan, costs, stage);
  m[MemoryLabel::workspace] = costs.workspace_bytes;
  m[MemoryLabel::communication] = costs.nccl_bytes;
  m[MemoryLabel::cuda_context] = context_bytes(problem.cluster.gpu, traits);

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
    const bool forward = moment.kind == sim::PassKind::forward;
    const std::int64_t working = forward ? pass.forward_working : pass.backward_working;
    logits += forward ? pass.forward_logits : pass.backward_logits;
    if (activations + logits + working > most) {
      most = activations + logits + working;
      m[MemoryLabel::activations] = activations;
      m[MemoryLabel::logits] = logits;
      m[MemoryLabel::temporary] = working;
    }
  }
  const auto dynamic = static_cast<double>(std::max<std::int64_t>(most, 0) + m[MemoryLabel::gathered]);
  m[MemoryLabel::allocator] = whole(kAllocatorSlack * dynamic);
  for (const std::int64_t b : m.by_label) m.total += b;
  const std::int64_t room = std::llround(std::floor(memory_limit(problem.cluster.gpu).base())) - m.total;
  const std::int64_t growth =
      whole(kAllocatorSlackWithRoom * dynamic) - m[MemoryLabel::allocator] + step_bytes(problem, plan, costs, stage);
  m.pool_growth = std::clamp<std::int64_t>(growth, 0, std::max<std::int64_t>(room, 0));
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
