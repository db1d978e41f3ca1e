#include "cli/explain_text.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/plan_text.h"

namespace foretrain::cli {
namespace {

std::string percent_more(double change) { return fmt::format("{:+.2f} %", 100 * change + 0.0); }

/// Picoseconds in the unit that steps are shown in, and how to write them.
struct TimeUnit {
  std::int64_t picoseconds;  ///< of the last digit
  int digits;
  const char* name;
};
TimeUnit unit_for(std::int64_t picoseconds) {
  if (picoseconds >= 1'000'000'000'000) return {1'000'000'000, 3, "s"};
  return {10'000'000, 2, "ms"};
}

std::string in_unit(std::int64_t count, int digits, const char* name) {
  return fmt::format("{:.{}f} {}", static_cast<double>(count) / std::pow(10.0, digits), digits, name);
}

/// Rows of both plans that sum to the last row, also as they are rounded here.
TextTable contrast_table(const std::string& title, const std::string& total, const Contrast& c, int digits,
                         const char* name, const ExplainedFile& x) {
  TextTable table{{title, fmt::format("plan {}", x.plan), fmt::format("plan {}", x.against), "difference"},
                  {},
                  {false, true, true, true}};
  const auto add = [&](const std::string& label, std::int64_t own, std::int64_t other) {
    table.rows.push_back({label, in_unit(own, digits, name), in_unit(other, digits, name),
                          (other < own ? "-" : "+") + in_unit(std::abs(other - own), digits, name)});
  };
  for (const ContrastRow& row : c.rows)
    if (row.own != 0 || row.other != 0) add(row.label, row.own, row.other);
  add(total, c.own, c.other);
  return table;
}

/// "recompute +1.147 s, data_exposed +0.422 s": the labels with most of one sign.
std::string largest(const Contrast& time, bool slower, const TimeUnit& unit) {
  std::vector<ContrastRow> rows;
  for (const ContrastRow& row : time.rows)
    if (slower ? row.more() > 0 : row.more() < 0) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ContrastRow& a, const ContrastRow& b) { return std::abs(a.more()) > std::abs(b.more()); });
  if (rows.size() > 3) rows.resize(3);
  std::string text;
  for (const ContrastRow& row : rows)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", row.label,
                        in_unit(std::abs(row.more()), unit.digits, unit.name));
  return text;
}

void add_headline(Page& page, const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  page.line(describe(x.problem));
  if (x.file.plans.empty()) {
    page.line("No plan fits.", Ink::warn);
    return;
  }
  page.line(fmt::format("Plan {}: {}, step {}", x.plan, to_text(e.report.plan), step_and_interval(e.report)),
            Ink::good);
  if (e.report.rejection) page.line(refusal_text(e.report).substr(0, refusal_text(e.report).size() - 1), Ink::warn);
  if (!e.against) return;
  std::string line = fmt::format("Plan {}: {}", x.against, to_text(e.against->plan));
  if (e.time)
    line += fmt::format(", step {} ({:+.1f} %)", step_and_interval(*e.against),
                        100 * (e.against->step / e.report.step - 1));
  page.line(line);
}

void add_contrast(Page& page, const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  if (!e.time) return;
  const TimeUnit unit = unit_for(std::max(e.time->own, e.time->other));
  const Contrast time = in_units(*e.time, unit.picoseconds);
  const bool own_wins = e.time->own <= e.time->other;
  const std::string lost = largest(time, own_wins, unit), won = largest(time, !own_wins, unit);
  page.blank().line(fmt::format("Plan {} is slower by {}: it spends more on {}{}.", own_wins ? x.against : x.plan,
                                in_unit(std::abs(time.other - time.own), unit.digits, unit.name),
                                lost.empty() ? "nothing" : lost, won.empty() ? "" : ", and less on " + won));
  if (x.problem.residuals != nullptr && within_noise(*x.problem.residuals, e.report.step, e.against->step))
    page.line("That is within the noise: a run may well show the other one ahead.", Ink::warn);
  page.blank().table(contrast_table("time", "step", time, unit.digits, unit.name, x));
  const Contrast memory = in_units(*e.memory, static_cast<std::int64_t>(GiB.base() / 100));
  page.blank().table(contrast_table("memory of the fullest stage", "peak", memory, 2, "GiB", x));
}

std::string labels_text(const std::vector<ChainLabel>& labels) {
  std::string text;
  for (const ChainLabel& label : labels)
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", label.label,
                        label.tasks > 1 ? fmt::format(" x {}", label.tasks) : "");
  return text;
}

void add_chain(Page& page, const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  constexpr std::size_t most_links = 9;
  const double whole = static_cast<double>(e.chain_time.count);
  TextTable labels{{"critical path", "tasks", "time", "share"}, {}, {false, true, true, true}};
  for (const ChainLabel& label : e.chain.labels)
    if (label.time.count > 0)
      labels.rows.push_back({label.label, fmt::format("{}", label.tasks), step_text(to_seconds(label.time)),
                             fmt::format("{:.1f} %", 100 * static_cast<double>(label.time.count) / whole)});
  page.blank().table(labels);
  if (to_picoseconds(e.report.step) != e.chain_time)
    page.line(fmt::format("It is that of a shorter step ({}) that stands for this one.",
                          step_text(to_seconds(e.chain_time))));
  page.blank().line("It leads through", Ink::bold);
  for (const ChainLink& link : joined(e.chain.links, most_links)) {
    const std::string stages = link.first_device == link.last_device
                                   ? fmt::format("stage {}", link.first_device)
                                   : fmt::format("stages {} to {}", link.first_device, link.last_device);
    page.line(fmt::format("  {:>9}  {:<14}  {:>9}  {}", step_text(to_seconds(link.start - TimePoint{})), stages,
                          step_text(to_seconds(link.time)), labels_text(link.labels)),
              Ink::plain, 4);
  }
}

void add_elasticities(Page& page, const ExplainedFile& x) {
  TextTable table{{"1 % more", "step", ""}, {}, {false, true, false}};
  for (const Elasticity& one : x.explanation.elasticities)
    table.rows.push_back({std::string(text_of(one.resource)), percent_more(one.change),
                          one.resource != Resource::memory ? ""
                          : one.replanned                  ? "searched again: " + to_text(*one.replanned)
                          : x.explanation.searched_again   ? "searched again: no other plan becomes faster"
                                                           : "this plan alone, not searched again"});
  page.blank().table(table);
  page.line("Simulated again with that resource alone changed.", Ink::faint);
}

std::string break_even_text(const BreakEven& b, const Problem& problem) {
  if (b.resource == Resource::memory)
    return fmt::format("with less than {} of memory a GPU, where the other one no longer fits",
                       to_text(b.factor * memory_limit(problem.cluster.gpu)));
  return fmt::format("if {} were {:.2f} x ({} against {})", text_of(b.resource), b.factor, step_text(b.other),
                     step_text(b.own));
}

void add_break_evens(Page& page, const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  if (!e.time) return;
  const std::int32_t loser = e.time->own < e.time->other ? x.against : x.plan;
  page.blank().line(fmt::format("Plan {} would be the faster one:", loser), Ink::bold);
  for (const BreakEven& b : e.break_evens) page.line("  " + break_even_text(b, x.problem), Ink::plain, 4);
  for (const OtherSize& size : e.other_sizes)
    page.line(
        fmt::format("  with a {} of {} ({} against {})", size.what == "gpus" ? "cluster" : "batch",
                    size.what == "gpus" ? fmt::format("{} GPUs", size.value) : fmt::format("{} sequences", size.value),
                    step_text(size.other), step_text(size.own)),
        Ink::plain, 4);
  if (e.break_evens.empty() && e.other_sizes.empty())
    page.line("  nothing among a sixteenth to sixteen times a resource, an eighth to eight times the batch or the GPUs",
              Ink::plain, 4);
}

void add_troubles(Page& page, const ExplainedFile& x) {
  const Explanation& e = x.explanation;
  page.blank();
  if (e.troubles.empty()) {
    page.line(
        fmt::format("Known troubles of plan {}: none of {} costs 1 % of the step.", x.plan, trouble_kinds().size()));
    return;
  }
  page.line(fmt::format("Known troubles of plan {} (costs overlap):", x.plan), Ink::bold);
  for (const Trouble& t : e.troubles) {
    const std::string cost =
        t.cost.base() > 0 ? fmt::format("{} ({:.1f} %)", step_text(t.cost), 100 * (t.cost / e.report.step)) : "a risk";
    page.line(fmt::format("  {}: {}. {}.", t.name, cost, t.what), Ink::warn, 4);
    page.line(fmt::format("    counted: {}; try: {}", t.counted, t.remedy), Ink::plain, 6);
    if (t.instead)
      page.line(fmt::format("    {} takes {}",
                            to_text(*t.instead) == to_text(e.report.plan) ? "the plan so changed" : to_text(*t.instead),
                            step_text(t.instead_step)),
                Ink::plain, 6);
  }
}

void add_refused(Page& page, const ExplainedFile& x) {
  const PlanFile& file = x.file;
  std::string text = fmt::format("Of {} plans:", file.considered);
  for (const auto& entry : file.rejected) text += fmt::format(" {} refused for {},", entry.second, entry.first);
  text += fmt::format(" {} cut by bound, {} simulated", file.cut_by_bound, file.simulated);
  page.blank().line(text);
  if (file.stopped_early)
    page.line(fmt::format("The search was stopped early: {} plans judged and left out, others never looked at.",
                          file.left_out),
              Ink::warn);
  if (!x.nearest_miss) return;
  const PlanReport& miss = *x.nearest_miss;
  page.line(fmt::format("Nearest miss: {} {}; if it fitted, a step would take {}.", to_text(miss.plan),
                        what_it_lacks(miss), step_text(miss.step)));
}

}  // namespace

std::string what_it_lacks(const PlanReport& miss) {
  const MemoryAnatomy& stage = fullest_stage(miss);
  const auto largest = std::max_element(stage.by_label.begin(), stage.by_label.end());
  return fmt::format("lacks {} on stage {}, most of which holds {} ({})",
                     to_text(static_cast<double>(stage.total) * bytes - miss.memory_limit), stage.stage,
                     kMemoryLabelNames[static_cast<std::size_t>(largest - stage.by_label.begin())],
                     to_text(static_cast<double>(*largest) * bytes));
}

std::string explain_text(const ExplainedFile& explained, PageStyle style) {
  Page page(style);
  add_headline(page, explained);
  if (explained.explanation.report.step.base() > 0) {
    add_contrast(page, explained);
    add_chain(page, explained);
    add_elasticities(page, explained);
    add_break_evens(page, explained);
    add_troubles(page, explained);
  }
  add_refused(page, explained);
  return page.text();
}

}  // namespace foretrain::cli
