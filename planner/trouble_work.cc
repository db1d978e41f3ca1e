/// Troubles of what one GPU does: launches, recomputation, small kernels, memory.
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/layer_ops.h"
#include "planner/resource.h"
#include "planner/trouble.h"

namespace foretrain {
namespace {

/// Plans with less recomputation than `plan`, least first.
std::vector<Plan> with_less_recomputation(const Plan& plan, std::int64_t layers_a_chunk) {
  std::vector<Plan> plans;
  Plan less = plan;
  less.recompute_layers = 0;
  less.recompute = Recompute::none;
  plans.push_back(less);
  if (plan.recompute != Recompute::full) return plans;
  less.recompute = Recompute::selective;
  plans.push_back(less);
  less.recompute = Recompute::full;
  const std::int64_t now = plan.recompute_layers > 0 ? plan.recompute_layers : layers_a_chunk;
  for (std::int64_t layers = 1; layers < now; ++layers) {
    less.recompute_layers = static_cast<std::int32_t>(layers);
    plans.push_back(less);
  }
  return plans;
}

std::string describe_recomputation(const Plan& plan) {
  const std::string kind(kRecomputeNames[static_cast<std::size_t>(plan.recompute)]);
  if (plan.recompute == Recompute::none) return "no recomputation";
  if (plan.recompute_layers == 0) return kind + " recomputation";
  return fmt::format("{} recomputation of {} layers a chunk", kind, plan.recompute_layers);
}

}  // namespace

std::optional<Trouble> host_bound_launches(const Problem& problem, const DetailedReport& detailed) {
  if (problem.software.cuda_graphs) return std::nullopt;
  Problem graphs = problem;
  graphs.software.cuda_graphs = true;
  const PlanReport& report = detailed.report;
  const Seconds cost = report.step - outcome(graphs, report.plan).step;
  if (!worth_naming(report, cost)) return std::nullopt;
  return Trouble{.name = {},
                 .what = "kernels are shorter than the host needs to launch them: the GPU runs dry",
                 .cost = cost,
                 .counted = "simulated with CUDA graphs",
                 .remedy = "software.cuda_graphs, larger micro-batches, or less tensor parallelism",
                 .instead = {},
                 .instead_step = {}};
}

std::optional<Trouble> recomputation_not_needed(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const Plan& plan = report.plan;
  if (plan.recompute == Recompute::none || report.rejection) return std::nullopt;
  const std::int64_t chunks = std::int64_t{plan.pipeline} * plan.virtual_pipeline;
  for (const Plan& less : with_less_recomputation(plan, problem.model.layers / chunks)) {
    const Outcome o = outcome(problem, less);
    if (!o.runs()) continue;
    if (!worth_naming(report, report.step - o.step)) return std::nullopt;
    return Trouble{
        .name = {},
        .what = fmt::format("{}, though {} fits: {} of {}", describe_recomputation(plan), describe_recomputation(less),
                            to_text(o.peak_memory), to_text(report.memory_limit)),
        .cost = report.step - o.step,
        .counted = "simulated with less",
        .remedy = describe_recomputation(less),
        .instead = less,
        .instead_step = o.step};
  }
  return std::nullopt;
}

std::optional<Trouble> small_micro_batch(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  Plan larger = report.plan;
  larger.micro_batch *= 2;
  const Outcome o = outcome(problem, larger);
  const Seconds cost = report.step - o.step;
  if (o.step.base() <= 0 || !worth_naming(report, cost)) return std::nullopt;
  Trouble trouble{
      .name = {},
      .what = fmt::format("micro-batches of {} sequences are too small for full speed", report.plan.micro_batch),
      .cost = cost,
      .counted = fmt::format("simulated with micro_batch {}", larger.micro_batch),
      .remedy = fmt::format("micro_batch {}", larger.micro_batch),
      .instead = {},
      .instead_step = {}};
  if (o.runs()) {
    trouble.instead = larger;
    trouble.instead_step = o.step;
  } else {
    trouble.remedy += fmt::format(", which lacks {} of memory", to_text(o.peak_memory - report.memory_limit));
  }
  return trouble;
}

std::optional<Trouble> no_sequence_parallelism(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  if (report.plan.tensor == 1 || report.plan.sequence_parallel) return std::nullopt;
  Plan split = report.plan;
  split.sequence_parallel = true;
  const Outcome o = outcome(problem, split);
  if (!o.runs()) return std::nullopt;
  // It saves memory above all: norms' and residuals' activations are then split over the tensor ranks.
  constexpr double much = 0.1;
  const Seconds gain = report.step - o.step;
  const bool saves = report.peak_memory - o.peak_memory >= much * report.memory_limit;
  if (!worth_naming(report, gain) && !(saves && -gain < kWorthNaming * report.step)) return std::nullopt;
  Trouble trouble{
      .name = {},
      .what = fmt::format("every one of {} tensor ranks works through whole sequences in norms and residuals, and "
                          "keeps them: {} a GPU, against {}",
                          report.plan.tensor, to_text(report.peak_memory), to_text(o.peak_memory)),
      .cost = max(Seconds{}, gain),
      .counted = "simulated with sequence parallelism",
      .remedy = "sequence_parallel",
      .instead = {},
      .instead_step = {}};
  if (o.step < report.step) {
    trouble.instead = split;
    trouble.instead_step = o.step;
  }
  return trouble;
}

std::optional<Trouble> unfused_attention(const Problem& problem, const DetailedReport& detailed) {
  constexpr int kAmpere = 80;  // FlashAttention-2 needs compute capability 8.0
  if (problem.software.attention == AttentionKind::flash || problem.training.precision == Precision::fp32 ||
      problem.cluster.gpu.compute_capability < kAmpere)
    return std::nullopt;
  Problem fused = problem;
  fused.software.attention = AttentionKind::flash;
  const PlanReport& report = detailed.report;
  const Outcome o = outcome(fused, report.plan);
  const Seconds cost = report.step - o.step;
  if (o.step.base() <= 0 || !worth_naming(report, cost)) return std::nullopt;
  return Trouble{.name = {},
                 .what = "attention writes its scores to memory and reads them again",
                 .cost = cost,
                 .counted = "simulated with flash attention",
                 .remedy = fmt::format("software.attention flash, which needs {} instead of {}", to_text(o.peak_memory),
                                       to_text(report.peak_memory)),
                 .instead = {},
                 .instead_step = {}};
}

/// Between two vocabularies that need no padding, cost is linear in their rows: this one pays for its padded ones.
std::optional<Trouble> padded_vocabulary(const Problem& problem, const DetailedReport& detailed) {
  const PlanReport& report = detailed.report;
  const std::int64_t padded = vocabulary_per_rank(problem.model.vocab, report.plan.tensor) * report.plan.tensor;
  const std::int64_t rows = padded - problem.model.vocab, multiple = 128 * std::int64_t{report.plan.tensor};
  if (rows == 0 || padded == multiple) return std::nullopt;
  Problem smaller = problem;
  smaller.model.vocab = padded - multiple;
  const Seconds between = report.step - outcome(smaller, report.plan).step;
  const Seconds cost = between * (static_cast<double>(rows) / static_cast<double>(multiple));
  if (!worth_naming(report, cost)) return std::nullopt;
  return Trouble{
      .name = {},
      .what = fmt::format("{} rows of vocabulary become {}: a multiple of 128 x tensor", problem.model.vocab, padded),
      .cost = cost,
      .counted = fmt::format("simulated with {} rows, the padding's share", smaller.model.vocab),
      .remedy = "less tensor parallelism, or a vocabulary that divides",
      .instead = {},
      .instead_step = {}};
}

std::optional<Trouble> memory_almost_full(const Problem&, const DetailedReport& detailed) {
  constexpr double little = 0.01;
  const PlanReport& report = detailed.report;
  const Bytes left = report.memory_limit - report.peak_memory;
  if (report.rejection || left > little * report.memory_limit) return std::nullopt;
  return Trouble{.name = {},
                 .what = fmt::format("{} of {} are left: evaluation, checkpoints or fragments may not fit",
                                     to_text(left), to_text(report.memory_limit)),
                 .cost = {},
                 .counted = "peak against the GPU's memory",
                 .remedy = "a plan with more headroom",
                 .instead = {},
                 .instead_step = {}};
}

}  // namespace foretrain
