#include "planner/calibration_coverage.h"

#include <array>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "base/check.h"
#include "hwmodels/kernel_json.h"
#include "planner/block_cost.h"
#include "planner/groups.h"
#include "planner/plan_cost.h"

namespace foretrain {
namespace {

constexpr std::array kBlocks = {BlockKind::embedding_forward, BlockKind::embedding_backward, BlockKind::layer_forward,
                                BlockKind::layer_backward,    BlockKind::head_forward,       BlockKind::head_backward};

class Counter {
 public:
  explicit Counter(const Problem& problem) : problem_(problem), coverage_(calibration_coverage(*problem.calibration)) {}

  void kernel(const Kernel& kernel) {
    const CalibratedKernelTime t =
        kernel_time(kernel, problem_.cluster.gpu, problem_.efficiency, problem_.calibration.get());
    count(kernel_json(kernel), to_text(family_of(kernel)), t.use);
  }
  void collective(CollectiveOp op, Bytes size, const GroupLayout& group) {
    const CalibratedCollectiveTime t = collective_time(op, size, group, problem_.cluster, problem_.calibration.get());
    if (!(t.time.time > Seconds{})) return;
    const std::string family = to_text(family_of(op, group, problem_.cluster));
    count(fmt::format("{} {} {} {} {}", family, size.base(), group.ranks, group.ranks_per_node,
                      group.groups_sharing_nics),
          family, t.use);
  }
  void message(const Message& m) {
    if (m.total.count == 0) return;
    const std::string name(kCollectiveNames[static_cast<std::size_t>(m.op)]);
    count(fmt::format("{} {} {}", name, m.size.base(), m.total.count), name, m.use);
  }

  CalibrationCoverage finish() {
    coverage_.outside.assign(outside_.begin(), outside_.end());
    coverage_.not_measured.assign(not_measured_.begin(), not_measured_.end());
    return std::move(coverage_);
  }

 private:
  void count(const std::string& what, const std::string& family, CalibrationUse use) {
    if (!seen_.insert(what).second) return;
    if (use == CalibrationUse::inside) ++coverage_.inside;
    if (use == CalibrationUse::outside) {
      ++coverage_.outside_count;
      outside_.insert(family);
    } else if (use == CalibrationUse::none) {
      ++coverage_.not_measured_count;
      not_measured_.insert(family);
    }
  }

  const Problem& problem_;
  CalibrationCoverage coverage_;
  std::set<std::string> seen_, outside_, not_measured_;
};

}  // namespace

CalibrationCoverage calibration_coverage(const Calibration& calibration) {
  CalibrationCoverage coverage;
  coverage.name = calibration.name;
  coverage.sha256 = calibration.sha256;
  return coverage;
}

CalibrationCoverage calibration_coverage(const Problem& problem, const Plan& plan) {
  FORETRAIN_CHECK(problem.calibration != nullptr);
  Counter counter(problem);
  const FrameworkSpec framework = framework_spec(problem);
  const BlockShape shape = block_shape(problem, plan);
  for (const BlockKind kind : kBlocks) {
    for (const Op& op :
         block_ops(kind, problem.model, shape, problem.software, problem.training.precision, framework)) {
      if (const auto* kernel = std::get_if<Kernel>(&op.work))
        counter.kernel(in_model_format(*kernel, problem.cluster.gpu, problem.calibration.get()));
      if (const auto* call = std::get_if<CollectiveCall>(&op.work))
        counter.collective(call->op, call->size, block_group(call->group, shape, problem.cluster));
    }
  }
  const auto blocks = std::make_shared<const BlockCosts>(block_costs(problem, shape, framework));
  const PlanCosts costs = plan_costs(problem, plan, blocks, framework);
  for (const StageCost& stage : costs.stages) {
    for (const TimedKernel& k : optimizer_kernels(problem, plan, costs, stage.parameters)) counter.kernel(k.kernel);
    const DataParallelCost& d = stage.data;
    for (const Message* m : {&d.reduce, &d.replica_reduce, &d.gather, &d.layer_gather, &d.layer_reduce, &d.ends_gather,
                             &d.ends_reduce, &stage.gradient_tail})
      counter.message(*m);
  }
  for (const Message* m : {&costs.transfer, &costs.embedding_reduce, &costs.norm_reduce}) counter.message(*m);
  return counter.finish();
}

std::string to_text(const CalibrationCoverage& c) {
  std::string text =
      fmt::format("Calibrated by {} ({}): {} of {} kernels and messages lie inside of what it measured", c.name,
                  c.sha256.substr(0, 8), c.inside, c.inside + c.outside_count + c.not_measured_count);
  if (!c.outside.empty())
    text += fmt::format("; {} outside, at the border's correction: {}", c.outside_count, fmt::join(c.outside, "; "));
  if (!c.not_measured.empty())
    text += fmt::format("; {} not measured: {}", c.not_measured_count, fmt::join(c.not_measured, "; "));
  return text + ".\n";
}

}  // namespace foretrain
