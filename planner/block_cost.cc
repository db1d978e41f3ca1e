#include "planner/block_cost.h"

#include <algorithm>
#include <cmath>

#include "hwmodels/calibration.h"
#include "hwmodels/sm_share.h"
#include "hwmodels/sustained_rate.h"
#include "planner/emit_ops.h"
#include "planner/groups.h"
#include "sim/simulator.h"

namespace foretrain {
namespace {

/// The block as a task graph on one device. `host_launch`: host time for each launch.
struct BlockGraph {
  sim::TaskGraph graph;
  sim::LaneId host = 0, compute = 0;
};

BlockGraph lower_block(const std::vector<Op>& ops, const std::vector<Picoseconds>& times, Picoseconds host_launch) {
  BlockGraph b;
  const sim::DeviceId device = b.graph.add_device({.name = "block"});
  std::array<sim::LabelId, kTimeLabelNames.size()> labels{};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::int32_t part = b.graph.part(kTimeLabelNames[i]);
    labels[i] = b.graph.add_label({.name = std::string(kTimeLabelNames[i]), .parts = {{.part = part}}});
  }
  const auto label = [&](TimeLabel l) { return labels[static_cast<std::size_t>(l)]; };
  b.host = b.graph.add_lane({.name = "host", .device = device, .kind = sim::LaneKind::host});
  b.compute = b.graph.add_lane({.name = "compute", .device = device, .kind = sim::LaneKind::compute});
  const sim::LaneId tensor = b.graph.add_lane({.name = "tensor",
                                               .device = device,
                                               .kind = sim::LaneKind::communication,
                                               .wait_label = label(TimeLabel::tensor_exposed)});
  const sim::LaneId context = b.graph.add_lane({.name = "context",
                                                .device = device,
                                                .kind = sim::LaneKind::communication,
                                                .wait_label = label(TimeLabel::context_exposed)});
  emit_ops(b.graph, {.host = b.host, .compute = b.compute, .tensor = tensor, .context = context},
           {.labels = labels, .host = labels[0]}, ops, times, host_launch);
  return b;
}

/// No operation is timed as longer than this, so that a block's sum stays within the clock; a plan that has one is
/// refused (break_of_time).
constexpr Seconds kLongestOperation = 86400.0 * seconds;

/// FrameworkSpec::flash_generation by name.
AttentionLibrary library_of(int flash_generation) {
  switch (flash_generation) {
    case 0:
      return AttentionLibrary::flash_triton;
    case 1:
      return AttentionLibrary::flash_1;
    case 2:
      return AttentionLibrary::flash_2;
    default:
      return AttentionLibrary::best;
  }
}

}  // namespace

GroupLayout block_group(GroupKind kind, const BlockShape& shape, const ClusterSpec& cluster) {
  if (kind == GroupKind::context) return group_layout(shape.context, shape.tensor, cluster);
  return group_layout(shape.tensor, 1, cluster);
}

Kernel in_model_format(Kernel kernel, const GpuSpec& gpu, const Calibration* calibration) {
  Gemm* gemm = std::get_if<Gemm>(&kernel);
  if (gemm != nullptr && gemm->dtype == DType::fp16 && peak(gpu, DType::bf16) &&
      !is_measured(calibration, gpu, family_of(kernel)))
    gemm->dtype = DType::bf16;
  return kernel;
}

Seconds op_time(const Op& op, const BlockShape& shape, const Problem& problem, const FrameworkSpec& framework,
                const CellHealth& health) {
  const GpuSpec& gpu = problem.cluster.gpu;
  if (const auto* kernel = std::get_if<Kernel>(&op.work)) {
    const Calibration* calibration = problem.calibration.get();
    const CalibratedKernelTime k =
        kernel_time(in_model_format(*kernel, gpu, calibration), gpu, problem.efficiency, calibration);
    // Times from steps hold what a step does to kernels, and the framework's own attention; isolated ones do not.
    const bool isolated = k.measured_in == MeasuredIn::isolated;
    const bool at_length = k.use == CalibrationUse::none && problem.efficiency.under_power_limit;
    Seconds time = k.time;
    if (k.bound == KernelBound::tensor_core) {
      time *= slowest_of(problem.cluster.gpus);
      const DType format = gemm_dtype(problem.training.precision);
      if (isolated) time /= sustained_rate(gpu, problem.efficiency, format, at_length, calibration);
    }
    if (const auto* attention = std::get_if<Attention>(kernel); attention != nullptr && isolated)
      time *= library_slowdown(library_of(framework.flash_generation), gpu, attention->backward);
    return time / health.compute;
  }
  if (const auto* call = std::get_if<CollectiveCall>(&op.work)) {
    const CalibratedCollectiveTime t =
        collective_time(call->op, call->size, block_group(call->group, shape, problem.cluster), problem.cluster,
                        problem.calibration.get());
    return slowed(t.time, call->group == GroupKind::context ? health.context : health.tensor).time;
  }
  return {};
}

BlockCost operator+(const BlockCost& first, const BlockCost& second) {
  BlockCost sum;
  sum.gpu = first.gpu + second.gpu;
  sum.host = first.host + second.host;
  sum.alone = std::max(first.alone + second.gpu, first.host + second.alone);
  for (std::size_t i = 0; i < sum.by_label.size(); ++i) sum.by_label[i] = first.by_label[i] + second.by_label[i];
  return sum;
}

BlockCost repeat(const BlockCost& block, std::int64_t times) {
  BlockCost sum;
  if (times <= 0) return sum;
  sum.gpu = times * block.gpu;
  sum.host = times * block.host;
  // The longest of the paths that leave the host after k whole blocks; it is linear in k, so at an end.
  sum.alone = std::max(block.alone + (times - 1) * block.gpu, (times - 1) * block.host + block.alone);
  for (std::size_t i = 0; i < sum.by_label.size(); ++i) sum.by_label[i] = times * block.by_label[i];
  return sum;
}

namespace {
/// Slows the compute that runs beside collectives: while one runs, its channels hold their SMs.
void share_sms(const std::vector<Op>& ops, const BlockShape& shape, const ClusterSpec& cluster,
               std::vector<Picoseconds>& times) {
  const auto blocks_of = [&](const CollectiveCall& call) {
    const GroupLayout group = block_group(call.group, shape, cluster);
    // Rings of gathers and reductions, whose algorithm is known without asking; a sum may run through the switch.
    const NcclAlgorithm algorithm = call.op == CollectiveOp::all_reduce
                                        ? collective_time(call.op, call.size, group, cluster).algorithm
                                        : NcclAlgorithm::ring;
    return nccl_blocks(call.op, algorithm, group, cluster);
  };
  double beside = 0;  // ps of collectives still running
  double share = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (const auto* call = std::get_if<CollectiveCall>(&ops[i].work)) {
      if (!ops[i].beside) continue;
      beside += static_cast<double>(times[i].count);
      share = sm_share(blocks_of(*call), cluster.gpu);
      continue;
    }
    if (ops[i].joins) beside = 0;
    const double alone = static_cast<double>(times[i].count);
    const double overlapped = std::min(beside, alone);
    times[i].count += std::llround(overlapped * share / (1 - share));
    beside -= overlapped;
  }
}
}  // namespace

std::vector<Picoseconds> op_times(const std::vector<Op>& ops, const BlockShape& shape, const Problem& problem,
                                  const FrameworkSpec& framework, bool backward, const CellHealth& health) {
  std::vector<Picoseconds> times;
  times.reserve(ops.size());
  for (const Op& op : ops)
    times.push_back(to_picoseconds(min(op_time(op, shape, problem, framework, health), kLongestOperation)));
  share_sms(ops, shape, problem.cluster, times);
  if (framework.launch_blocking && !problem.software.cuda_graphs) {
    const Picoseconds launch = to_picoseconds(backward ? framework.backward_launch : framework.forward_launch);
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (!std::holds_alternative<Join>(ops[i].work)) times[i] += launch;
    }
  }
  return times;
}

Seconds launch_ahead(const Problem& problem, const FrameworkSpec& framework, bool backward) {
  if (problem.software.cuda_graphs || framework.launch_blocking) return {};
  return backward ? framework.backward_launch : framework.forward_launch;
}

BlockCost block_cost(const std::vector<Op>& ops, const BlockShape& shape, const Problem& problem,
                     const FrameworkSpec& framework, bool backward, const CellHealth& health) {
  const std::vector<Picoseconds> times = op_times(ops, shape, problem, framework, backward, health);
  BlockCost cost;
  if (ops.empty()) return cost;
  if (ops.size() == 1 && std::holds_alternative<Kernel>(ops[0].work)) {  // as simulated, without simulating
    cost.gpu = times[0];
    cost.host = to_picoseconds(launch_ahead(problem, framework, backward));
    cost.alone = cost.host + cost.gpu;
    cost.by_label[static_cast<std::size_t>(ops[0].label)] = cost.gpu;
    return cost;
  }
  {
    const BlockGraph b = lower_block(ops, times, {});
    const sim::Timeline timeline = sim::simulate(b.graph);
    cost.gpu = timeline.makespan;
    const sim::LaneTime lane = sim::lane_time(b.graph, timeline, b.compute);
    Picoseconds booked;
    for (std::size_t i = 1; i < cost.by_label.size(); ++i) {
      cost.by_label[i] = to_picoseconds(Seconds::from_base(lane.seconds_by_part[i] + lane.wait_by_part[i]));
      booked += cost.by_label[i];
    }
    cost.by_label[0] = cost.gpu - booked;
  }
  const Seconds launch = launch_ahead(problem, framework, backward);
  const BlockGraph b = lower_block(ops, times, to_picoseconds(launch));
  cost.alone = sim::simulate(b.graph, {.memory = false, .releases = false}).makespan;
  for (const Op& op : ops) {
    if (!std::holds_alternative<Join>(op.work)) cost.host += to_picoseconds(launch);
  }
  return cost;
}

}  // namespace foretrain
