#include "validate/device/distinct_work.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "hwmodels/kernel_time.h"
#include "planner/groups.h"

namespace foretrain {
namespace {

// Assumed, not measured: what measuring costs beside the runs themselves. Warm-up runs, allocation, cuBLASLt's choice
// of an algorithm or a cuDNN plan; a communicator and its buffers.
constexpr int kWarmUp = 5;
constexpr Seconds kKernelSetUp = 30 * milliseconds;
constexpr Seconds kCollectiveSetUp = 200 * milliseconds;

std::int64_t whole(double bytes) { return std::llround(bytes); }

/// Operands and results, each once. The statistics of attention are fp32, one a query and head.
std::int64_t needed_by(const Gemm& g) {
  const double in = bytes_per_element(g.dtype), out = bytes_per_element(g.output);
  const auto b = static_cast<double>(g.batch), m = static_cast<double>(g.m), n = static_cast<double>(g.n),
             k = static_cast<double>(g.k);
  return whole(b * ((m * k + k * n) * in + m * n * out));
}
std::int64_t needed_by(const Attention& a) {
  const double width = bytes_per_element(a.dtype);
  const auto b = static_cast<double>(a.batch), sq = static_cast<double>(a.seq_q), skv = static_cast<double>(a.seq_kv),
             hq = static_cast<double>(a.heads_q), hkv = static_cast<double>(a.heads_kv),
             qk = static_cast<double>(a.d_qk), v = static_cast<double>(a.d_v);
  const double tensors = b * (sq * hq * (qk + v) + skv * hkv * (qk + v)) * width;  // q, o, k, v
  const double statistics = 4 * b * hq * sq;
  // Backward: their gradients too, a second statistic, and an fp32 sum of query gradients.
  return whole(a.backward ? 2 * tensors + 2 * statistics + 4 * b * sq * hq * qk : tensors + statistics);
}
/// What is read and what is written. The loss passes over its logits several times: they and an fp32 copy.
std::int64_t needed_by(const MemoryKernel& k) {
  if (k.op == MemoryOp::cross_entropy)
    return whole(static_cast<double>(k.rows) * static_cast<double>(k.cols) * (bytes_per_element(k.dtype) + 4));
  return whole(k.read.base() + k.written.base());
}
std::int64_t needed_by(const Kernel& kernel) {
  return std::visit([](const auto& k) { return needed_by(k); }, kernel);
}
/// Send and receive buffers of one rank; an all-reduce is not done in place, as nccl-tests does not.
std::int64_t needed_by(const MessageWork& m, std::int64_t ranks) {
  switch (m.op) {
    case CollectiveOp::all_gather:
    case CollectiveOp::reduce_scatter:
      return m.bytes + m.bytes / std::max<std::int64_t>(1, ranks);
    default:
      return 2 * m.bytes;
  }
}

/// What a calibration says of kernels that ran alone.
Calibration isolated_part(const Calibration* calibration) {
  Calibration part;
  if (calibration == nullptr) return part;
  for (const KernelCorrection& c : calibration->kernels)
    if (c.measured_in == MeasuredIn::isolated) part.kernels.push_back(c);
  return part;
}

}  // namespace

GroupLayout layout_of(WorkGroup group, const Plan& plan, const ClusterSpec& cluster) {
  const std::int64_t shard = shard_ranks(plan);
  const std::int64_t all = std::int64_t{plan.data} * plan.context;
  const std::int64_t per_stage = gpus_used(plan) / plan.pipeline;
  switch (group) {
    case WorkGroup::tensor:
      return tensor_group(plan, cluster);
    case WorkGroup::context:
      return context_group(plan, cluster);
    case WorkGroup::data:
      return data_group(plan, cluster);
    case WorkGroup::shard:
      return group_layout(shard, plan.tensor, cluster);
    case WorkGroup::replica:
      return group_layout(all / shard, plan.tensor * shard, cluster);
    case WorkGroup::model:
      return group_layout(std::int64_t{plan.tensor} * plan.pipeline, 1, cluster);
    case WorkGroup::embedding:
      return group_layout(2, per_stage * (plan.pipeline - 1), cluster);
    case WorkGroup::next:
    case WorkGroup::previous:
      return pipeline_pair(plan, cluster);
  }
  return {};
}

bool is_kernel(const DistinctWork& work) { return std::holds_alternative<Kernel>(work.work); }

std::vector<DistinctWork> distinct_works(const Problem& problem, const Plan& plan, const StepGraph& step,
                                         std::optional<std::int32_t> stage) {
  std::vector<DistinctWork> works;
  std::map<std::string, std::size_t> places;
  std::vector<std::size_t> place_of(step.work.size(), SIZE_MAX);
  for (const sim::TaskId t : tasks_of_stage(step, plan, stage)) {
    const std::int32_t payload = step.graph.task(t).payload;
    if (payload == sim::kNone) continue;
    const auto p = static_cast<std::size_t>(payload);
    const auto* message = std::get_if<MessageWork>(&step.work[p]);
    if (message != nullptr && (message->sends || message->bytes == 0)) continue;
    if (place_of[p] == SIZE_MAX) {
      std::string text = work_text(step.work[p]);
      const auto [known, is_new] = places.emplace(text, works.size());
      place_of[p] = known->second;
      if (is_new)
        works.push_back({.work = step.work[p], .text = std::move(text), .group = {}, .in_step = {}, .alone = {}});
    }
    DistinctWork& w = works[place_of[p]];
    // Equal works take different times where others run beside them: the shortest is the one least disturbed.
    const Picoseconds time = time_alone(step.graph, t);
    if (w.count++ == 0 || time < w.in_step) w.in_step = time;
  }
  const Calibration alone = isolated_part(problem.calibration.get());
  for (DistinctWork& w : works) {
    if (const auto* kernel = std::get_if<Kernel>(&w.work)) {
      w.alone = to_picoseconds(kernel_time(*kernel, problem.cluster.gpu, problem.efficiency, &alone).time);
      w.needed = needed_by(*kernel);
      continue;
    }
    const auto& message = std::get<MessageWork>(w.work);
    w.group = layout_of(message.group, plan, problem.cluster);
    w.ranks = w.group.ranks;
    w.alone = w.in_step;
    w.needed = needed_by(message, w.ranks);
  }
  return works;
}

Seconds measuring_time(const DistinctWork& work, const GpuSpec& gpu, int samples) {
  const Seconds run = to_seconds(work.alone);
  const double runs = samples + kWarmUp;
  if (!is_kernel(work)) return kCollectiveSetUp + runs * run;
  // Random operands are written once, and twice the L2 cache before each run.
  const Seconds fill = static_cast<double>(work.needed) * bytes / gpu.memory_bandwidth;
  const Seconds flush = 2.0 * gpu.l2_cache / gpu.memory_bandwidth;
  return kKernelSetUp + fill + runs * (run + flush);
}

}  // namespace foretrain
