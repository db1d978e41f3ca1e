#include "cli/plan_text.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain::cli {
namespace {

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string gibibytes(double count) { return fmt::format("{:.2f}", count / GiB.base()); }

}  // namespace

std::string step_text(Seconds step) {
  if (step >= 1 * seconds) return fmt::format("{:.3f} s", step.base());
  return fmt::format("{:.2f} ms", step / milliseconds);
}

std::string step_and_interval(const PlanReport& report) {
  const Seconds low = report.interval.low, high = report.interval.high;
  if (low == high) return step_text(report.step);
  const bool long_step = report.step >= 1 * seconds;
  const Seconds unit = long_step ? 1 * seconds : milliseconds;
  const auto digits = [](double v) { return v < 100 ? fmt::format("{:.3g}", v) : fmt::format("{:.0f}", v); };
  return fmt::format("{} ({} to {} {})", step_text(report.step), digits(low / unit), digits(high / unit),
                     long_step ? "s" : "ms");
}

std::string describe(const Problem& p) {
  const ParameterCount parameters = count_parameters(p.model);
  return fmt::format("{} ({:.2f} B parameters) on {} {}, batch {} x {} tokens, {}", p.model.name,
                     static_cast<double>(parameters.total) / 1e9, p.cluster.gpus, p.cluster.gpu.name,
                     p.training.global_batch, p.training.sequence_length,
                     kPrecisionNames[static_cast<std::size_t>(p.training.precision)]);
}

TextTable ranking_rows(const SearchResult& result) {
  TextTable table{{"#", "plan", "step", "tokens/s/GPU", "MFU", "peak memory", "headroom"},
                  {},
                  {true, false, true, true, true, true, true}};
  for (std::size_t i = 0; i < result.plans.size(); ++i) {
    const PlanReport& r = result.plans[i];
    table.rows.push_back({fmt::format("{}{}", r.near_best ? "~" : "", i + 1), to_text(r.plan), step_text(r.step),
                          fmt::format("{:.0f}", r.tokens_per_second_per_gpu), percent(r.mfu),
                          gibibytes(r.peak_memory.base()) + " GiB",
                          gibibytes((r.memory_limit - r.peak_memory).base()) + " GiB"});
  }
  return table;
}

std::string refusal_text(const PlanReport& report) {
  const Rejection& rejection = *report.rejection;
  if (rejection.reason == RejectionReason::memory)
    return fmt::format("It does not fit: {} needed, {} there.\n", to_text(report.peak_memory),
                       to_text(report.memory_limit));
  return fmt::format("It cannot run: {} ({}).\n", rejection.rule,
                     kRejectionNames[static_cast<std::size_t>(rejection.reason)]);
}

TextTable time_rows(const PlanReport& report) {
  TextTable table{{"where the time goes", "time", "share"}, {}, {false, true, true}};
  for (const TimePart& part : report.time) {
    if (part.time.base() == 0) continue;
    table.rows.push_back({part.name, step_text(part.time), percent(part.time / report.step)});
  }
  table.rows.push_back({"step", step_text(report.step), percent(1)});
  return table;
}

std::string time_table(const PlanReport& report) { return to_text(time_rows(report)); }

TextTable memory_rows(const PlanReport& report) {
  TextTable table{{"stage", "layers"}, {}, {}};
  std::vector<std::size_t> labels;  // those that any stage has
  for (std::size_t i = 0; i < kMemoryLabelNames.size(); ++i) {
    const auto has = [&](const MemoryAnatomy& stage) { return stage.by_label[i] != 0; };
    if (std::none_of(report.stages.begin(), report.stages.end(), has)) continue;
    labels.push_back(i);
    table.header.emplace_back(kMemoryLabelNames[i]);
  }
  table.header.insert(table.header.end(), {"total GiB", "left"});
  table.right.assign(table.header.size(), true);
  for (const MemoryAnatomy& stage : report.stages) {
    std::vector<std::string> row = {fmt::format("{}", stage.stage), fmt::format("{}", stage.layers)};
    for (const std::size_t i : labels) row.push_back(gibibytes(static_cast<double>(stage.by_label[i])));
    row.push_back(gibibytes(static_cast<double>(stage.total)));
    row.push_back(gibibytes(report.memory_limit.base() - static_cast<double>(stage.total)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string memory_table(const PlanReport& report) { return to_text(memory_rows(report)); }

std::string counts(const SearchResult& result) {
  std::string text = fmt::format("{} plans considered:", result.considered);
  for (std::size_t i = 0; i < kRejectionNames.size(); ++i)
    if (result.rejected[i] > 0) text += fmt::format(" {} refused for {},", result.rejected[i], kRejectionNames[i]);
  text += fmt::format(" {} cut by bound, {} simulated\n", result.cut_by_bound, result.simulated);
  if (result.stopped_early)
    text +=
        fmt::format("Stopped early: {} plans judged and left out, others never looked at; better ones may be left.\n",
                    result.left_out);
  return text;
}

namespace {

std::string signed_step_text(Seconds t) { return (t.base() < 0 ? "-" : "+") + step_text(t.base() < 0 ? -t : t); }

/// "data-parallel groups 2, 10, 18 and 5 more".
std::string numbered(const SlowGroups& slow) {
  constexpr std::size_t kShown = 8;
  std::string text = slow.kind + (slow.groups.size() > 1 ? "s" : "");
  const std::size_t shown = slow.groups.size() > kShown + 1 ? kShown : slow.groups.size();
  for (std::size_t i = 0; i < shown; ++i) text += fmt::format("{} {}", i > 0 ? "," : "", slow.groups[i]);
  if (slow.groups.size() > shown) text += fmt::format(" and {} more", slow.groups.size() - shown);
  return text + fmt::format(" (at {:.3g} %)", 100 * slow.share);
}

}  // namespace

std::string fault_text(const PlanReport& report) {
  if (!report.faults) return "";
  const FaultReport& faults = *report.faults;
  const Seconds cost = report.step - faults.healthy_step;
  std::string text = fmt::format("The faults cost {}, {:.1f} %: in full health a step takes {}.\n", step_text(cost),
                                 100 * (cost / faults.healthy_step), step_text(faults.healthy_step));
  for (const FaultCost& fault : faults.faults) {
    text += fmt::format("  {} {}: {}", fault.name,
                        fault.share > 0 ? fmt::format("at {:.3g} %", 100 * fault.share) : std::string("dead"),
                        signed_step_text(fault.cost));
    for (std::size_t i = 0; i < fault.slows.size(); ++i) text += (i > 0 ? "; " : ", slows ") + numbered(fault.slows[i]);
    text += fault.slows.empty() ? "; nothing of this plan meets it\n" : "\n";
  }
  return text;
}

std::string idle_gpus(const Problem& problem, const PlanReport& report) {
  const std::int64_t used = gpus_used(report.plan), there = problem.cluster.gpus;
  if (used >= there) return "";
  return fmt::format("It uses {} of {} GPUs; {} stay idle.\n", used, there, there - used);
}

}  // namespace foretrain::cli
