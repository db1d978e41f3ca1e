#include "validate/device/compare_measured.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 3> kLayoutWords = {"tn", "nn", "nt"};

std::string_view name_of(DType t) { return kDTypeNames[static_cast<std::size_t>(t)]; }

std::string describe_kernel(const Gemm& g) {
  std::string text = fmt::format("gemm {}x{}x{} {} {}", g.m, g.n, g.k, name_of(g.dtype),
                                 kLayoutWords[static_cast<std::size_t>(g.layout)]);
  if (g.batch > 1) text += fmt::format(" x {}", g.batch);
  if (g.accumulate) text += fmt::format(" += {}", name_of(g.output));
  return text;
}
std::string describe_kernel(const Attention& a) {
  return fmt::format("attention {}x{}{} {}/{} heads of {}{} {}{}{}", a.batch, a.seq_q,
                     a.seq_kv == a.seq_q ? "" : fmt::format("x{}", a.seq_kv), a.heads_q, a.heads_kv, a.d_qk,
                     a.d_v == a.d_qk ? "" : fmt::format("/{}", a.d_v), name_of(a.dtype), a.causal ? " causal" : "",
                     a.backward ? " backward" : "");
}
std::string describe_kernel(const MemoryKernel& k) {
  return fmt::format("{} {}x{} {}{}", op_name(k.op), k.rows, k.cols, name_of(k.dtype), k.backward ? " backward" : "");
}

std::string_view quantity_of(const Kernel& kernel) {
  if (std::holds_alternative<Gemm>(kernel)) return "gemm_seconds";
  if (std::holds_alternative<Attention>(kernel)) return "attention_seconds";
  return "memory_bound_seconds";
}
std::string group_of(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel))
    return fmt::format("operation: gemm {}", kLayoutWords[static_cast<std::size_t>(g->layout)]);
  if (const auto* a = std::get_if<Attention>(&kernel))
    return fmt::format("operation: attention {}", a->backward ? "backward" : "forward");
  const auto& m = std::get<MemoryKernel>(kernel);
  return fmt::format("operation: {}{}", op_name(m.op), m.backward ? " backward" : "");
}

/// Adds a row, or says why there is none.
void add(Comparison& comparison, ComparisonRow row, const MeasuredTime& time) {
  if (!time.median) {
    comparison.refused.push_back({row.id, time.skipped});
  } else if (time.median->base() <= 0) {
    comparison.refused.push_back({row.id, "measured as no time at all"});
  } else {
    row.measured = time.median->base();
    comparison.rows.push_back(std::move(row));
  }
}

std::string with_count(const std::string& what, std::int64_t count) { return fmt::format("{} ({}x)", what, count); }

/// `in_step`: they ran inside a step, and not alone.
void compare_kernels(const std::vector<MeasuredKernel>& kernels, const PlanPrediction& predicted, bool in_step,
                     Comparison& comparison) {
  std::map<std::string, const DistinctWork*> by_text;
  for (const DistinctWork& w : predicted.works)
    if (is_kernel(w)) by_text.emplace(w.text, &w);
  for (const MeasuredKernel& m : kernels) {
    const auto found = by_text.find(work_text(m.kernel));
    if (found == by_text.end()) {
      comparison.refused.push_back({describe(m.kernel, 1), "not in the plan"});
      continue;
    }
    const DistinctWork& w = *found->second;
    add(comparison,
        {.id = with_count(describe(w.work, 1), w.count),
         .quantity = (in_step ? "in_step_" : "") + std::string(quantity_of(m.kernel)),
         .groups = {group_of(m.kernel)},
         .predicted = to_seconds(in_step ? w.in_step : w.alone).base()},
        m.time);
  }
}

/// The plan's collective that a measured one is, whose group may have been smaller: of several that look alike, the
/// one whose group lies most alike.
const DistinctWork* find_collective(const MeasuredCollective& m, const std::vector<DistinctWork>& works) {
  const DistinctWork* nearest = nullptr;
  int most = -1;
  for (const DistinctWork& w : works) {
    const auto* message = std::get_if<MessageWork>(&w.work);
    if (message == nullptr || message->op != m.op || message->bytes != m.bytes) continue;
    const int alike = (m.ranks == w.ranks ? 2 : 0) + (m.ranks_per_node == w.group.ranks_per_node ? 1 : 0);
    if (alike <= most) continue;
    most = alike;
    nearest = &w;
  }
  return nearest;
}

/// On a smaller group than the plan's it is predicted for that one, alone on its NICs.
void compare_collectives(const MeasuredRun& run, const PlanPrediction& predicted, const Problem& problem,
                         Comparison& comparison) {
  for (const MeasuredCollective& m : run.collectives) {
    const std::string what = describe(MessageWork{.op = m.op, .bytes = m.bytes}, m.ranks);
    const DistinctWork* w = find_collective(m, predicted.works);
    if (w == nullptr) {
      comparison.refused.push_back({what, "not in the plan"});
      continue;
    }
    if (m.gpus > 0 && m.gpus < m.ranks) {
      comparison.refused.push_back({what, "ranks shared a GPU: their time is no prediction's"});
      continue;
    }
    GroupLayout group = w->group;
    if (m.ranks != w->ranks)
      group = {.ranks = m.ranks, .ranks_per_node = std::min(m.ranks, problem.cluster.nvlink_domain)};
    if (m.ranks_per_node > 0) group.ranks_per_node = std::min(m.ranks_per_node, m.ranks);
    const Bytes size = static_cast<double>(m.bytes) * bytes;
    const Seconds time = collective_time(m.op, size, group, problem.cluster, problem.calibration.get()).time.time;
    add(comparison,
        {.id = with_count(what, w->count),
         .quantity = "collective_seconds",
         .groups = {fmt::format("operation: {}", kCollectiveNames[static_cast<std::size_t>(m.op)])},
         .predicted = time.base()},
        m.time);
  }
}

}  // namespace

std::string describe(const Work& work, std::int64_t ranks) {
  if (const auto* m = std::get_if<MessageWork>(&work))
    return fmt::format("{} {}, {} ranks", kCollectiveNames[static_cast<std::size_t>(m->op)],
                       to_text(static_cast<double>(m->bytes) * bytes), ranks);
  return std::visit([](const auto& k) { return describe_kernel(k); }, std::get<Kernel>(work));
}

Comparison compare_measured(const MeasuredRun& run, const PlanPrediction& predicted, const Problem& problem) {
  Comparison comparison;
  compare_kernels(run.kernels, predicted, false, comparison);
  compare_collectives(run, predicted, problem, comparison);
  for (const MeasuredStep& step : run.steps) {
    add(comparison,
        {.id = fmt::format("step of rank {}{}", step.rank, step.cuda_graph ? ", CUDA graph" : ""),
         .quantity = "step_seconds",
         .groups = {},
         .predicted = predicted.step.base()},
        step.time);
    compare_kernels(step.kernels, predicted, true, comparison);
  }
  for (const MeasuredMemory& m : run.memory) {
    if (m.peak_bytes <= 0) continue;
    comparison.rows.push_back({.id = fmt::format("memory of rank {}", m.rank),
                               .quantity = "peak_memory_bytes",
                               .groups = {},
                               .predicted = static_cast<double>(predicted.peak_memory),
                               .measured = static_cast<double>(m.peak_bytes)});
  }
  for (const std::string& failure : run.failures) comparison.refused.push_back({"run", failure});
  return comparison;
}

}  // namespace foretrain
