/// Troubles of communication: groups that lie badly, and collectives that nothing hides.
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "planner/groups.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain {
namespace {

/// The problem on a cluster whose NVLink domains hold `gpus` consecutive GPUs; on all of it where these do not tile it.
Problem with_domains_for(Problem problem, std::int64_t gpus) {
  ClusterSpec& c = problem.cluster;
  c.nvlink_domain = std::lcm(gpus, c.node.gpus_per_node);
  if (domain_in_use(c) % gpus != 0) c.nvlink_domain = round_up(c.gpus, c.node.gpus_per_node);
  return problem;
}

/// Plans whose tensor groups are a half, a quarter, ... as large, with more replicas or more stages instead.
std::vector<Plan> with_less_tensor(const Plan& plan) {
  std::vector<Plan> plans;
  for (std::int32_t part = 2; plan.tensor % part == 0; part *= 2) {
    Plan less = plan;
    less.tensor /= part;
    less.sequence_parallel = plan.sequence_parallel && less.tensor > 1;
    less.overlap.tensor = plan.overlap.tensor && less.tensor > 1;
    Plan replicas = less, stages = less;
    replicas.data *= part;
    stages.pipeline *= part;
    stages.stage_layers.clear();
    plans.push_back(replicas);
    plans.push_back(stages);
  }
  return plans;
}

/// A group of `gpus` neighbouring GPUs that leaves its domain.
std::optional<Trouble> across_nodes(const Problem& problem, const PlanReport& report, std::int64_t gpus,
                                    const std::string& group, std::string remedy) {
  const Problem wider = with_domains_for(problem, gpus);
  const Seconds cost = report.step - outcome(wider, report.plan).step;
  if (!worth_naming(report, cost)) return std::nullopt;
  Trouble trouble{.name = {},
                  .what = fmt::format("{} takes {} neighbouring GPUs, and an NVLink domain has {}: its collectives go "
                                      "over the network",
                                      group, gpus, domain_in_use(problem.cluster)),
                  .cost = cost,
                  .counted = fmt::format("simulated with NVLink domains of {} GPUs", domain_in_use(wider.cluster)),
                  .remedy = std::move(remedy),
                  .instead = {},
                  .instead_step = {}};
  propose(trouble, problem, report, with_less_tensor(report.plan));
  return trouble;
}

/// A plan that overlaps more, where it is legal and shorter by enough.
std::optional<Trouble> overlap_missed(const Problem& problem, const PlanReport& report, const Plan& overlapped,
                                      std::string what, std::string remedy) {
  const Outcome o = outcome(problem, overlapped);
  if (!o.runs() || !worth_naming(report, report.step - o.step)) return std::nullopt;
  return Trouble{.name = {},
                 .what = std::move(what),
                 .cost = report.step - o.step,
                 .counted = "simulated with the overlap",
                 .remedy = std::move(remedy),
                 .instead = overlapped,
                 .instead_step = o.step};
}

}  // namespace

std::optional<Trouble> tensor_across_nodes(const Problem& problem, const DetailedReport& detailed) {
  const Plan& plan = detailed.report.plan;
  if (tensor_group(plan, problem.cluster).ranks_per_node >= plan.tensor) return std::nullopt;
  return across_nodes(problem, detailed.report, plan.tensor, fmt::format("tensor {}", plan.tensor),
                      fmt::format("tensor of {} at most, and more pipeline stages or sharding for the memory",
                                  domain_in_use(problem.cluster)));
}

std::optional<Trouble> context_across_nodes(const Problem& problem, const DetailedReport& detailed) {
  const Plan& plan = detailed.report.plan;
  if (context_group(plan, problem.cluster).ranks_per_node >= plan.context) return std::nullopt;
  return across_nodes(problem, detailed.report, std::int64_t{plan.tensor} * plan.context,
                      fmt::format("tensor {} x context {}", plan.tensor, plan.context),
                      "less tensor parallelism, so that context ranks share a domain, or a ring that hides its sends");
}

std::optional<Trouble> oversubscribed_network(const Problem& problem, const DetailedReport& detailed) {
  const double oversubscription = problem.cluster.network.oversubscription;
  if (oversubscription <= 1) return std::nullopt;
  Problem full = problem;
  full.cluster.network.oversubscription = 1;
  const PlanReport& report = detailed.report;
  const Seconds cost = report.step - outcome(full, report.plan).step;
  if (!worth_naming(report, cost)) return std::nullopt;
  return Trouble{.name = {},
                 .what = fmt::format("leaves have {:g} times the bandwidth down to nodes that they have up, and the "
                                     "plan's groups cross them",
                                     oversubscription),
                 .cost = cost,
                 .counted = "simulated without oversubscription",
                 .remedy = fmt::format("groups that fit under one leaf ({} nodes), or full bisection bandwidth",
                                       problem.cluster.network.nodes_per_leaf),
                 .instead = {},
                 .instead_step = {}};
}

std::optional<Trouble> exposed_data_parallel(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const Seconds cost = time_of(report, "data_exposed");
  if (!worth_naming(report, cost)) return std::nullopt;
  const std::int64_t ranks = std::int64_t{report.plan.data} * report.plan.context;
  Trouble trouble{.name = {},
                  .what = fmt::format("{} data-parallel ranks exchange gradients{} while compute waits", ranks,
                                      report.plan.zero_stage == 3   ? " and, layer by layer, parameters"
                                      : report.plan.zero_stage == 2 ? " after every micro-batch"
                                      : report.plan.zero_stage == 1 ? " and updated parameters"
                                                                    : ""),
                  .cost = cost,
                  .counted = "label data_exposed",
                  .remedy = "more work between exchanges: a larger batch, or fewer replicas with more stages",
                  .instead = {},
                  .instead_step = {}};
  Plan overlapped = report.plan;
  overlapped.overlap.data = true;
  if (!report.plan.overlap.data) {
    trouble.remedy = "overlap.data: exchange gradients beside the backward pass";
    propose(trouble, problem, report, {overlapped});
    return trouble;
  }
  std::vector<Plan> otherwise_sharded;
  for (const std::int32_t stage : {0, 1, 2, 3}) {
    Plan plan = report.plan;
    plan.zero_stage = stage;
    if (stage != report.plan.zero_stage) otherwise_sharded.push_back(plan);
  }
  propose(trouble, problem, report, otherwise_sharded);
  return trouble;
}

std::optional<Trouble> no_tensor_overlap(const Problem& problem, const DetailedReport& detailed) {
  Plan plan = detailed.report.plan;
  if (plan.tensor == 1 || plan.overlap.tensor) return std::nullopt;
  plan.overlap.tensor = true;
  return overlap_missed(problem, detailed.report, plan,
                        "GEMMs wait for tensor-parallel collectives, and those for GEMMs",
                        "overlap.tensor: GEMMs in pieces beside their collectives (Megatron-LM --tp-comm-overlap)");
}

std::optional<Trouble> no_pipeline_overlap(const Problem& problem, const DetailedReport& detailed) {
  Plan plan = detailed.report.plan;
  // Overlapped sends come with the interleaved schedule (Megatron-LM arguments.py: --overlap-p2p-communication).
  if (plan.virtual_pipeline == 1 || plan.overlap.pipeline) return std::nullopt;
  plan.overlap.pipeline = true;
  return overlap_missed(problem, detailed.report, plan, "stages wait until their messages have been sent and received",
                        "overlap.pipeline: send beside the next pass (Megatron-LM --overlap-p2p-communication)");
}

}  // namespace foretrain
