#include "validate/accuracy_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/units.h"
#include "validate/scatter_svg.h"

namespace foretrain {
namespace {

/// How a quantity is drawn and named.
struct QuantityView {
  std::string_view quantity, heading, unit, stem;
  double divisor;  ///< base units in one `unit`
};
constexpr QuantityView kStep = {"step_seconds", "Time of a training step", "s", "", 1};
constexpr QuantityView kMemory = {"peak_memory_bytes", "Peak memory", "GiB", "-memory", 1073741824.0};
constexpr QuantityView kMicroseconds = {"", "", "us", "", 1e-6};

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string signed_percent(double share) { return fmt::format("{:+.1f} %", 100 * share); }

constexpr std::string_view kSummaryHead =
    " | rows | MAPE | median | 90th | worst | bias | Spearman | within 10 % |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";

std::string summary_row(const std::string& name, const ErrorSummary& s) {
  return fmt::format("| {} | {} | {} | {} | {} | {} | {} | {:.3f} | {} |\n", name, s.count, percent(s.mape),
                     percent(s.median_ape), percent(s.p90_ape), percent(s.max_ape), signed_percent(s.bias), s.spearman,
                     percent(s.within_10_percent));
}

std::vector<ComparisonRow> of_quantity(const std::vector<ComparisonRow>& rows, std::string_view quantity) {
  std::vector<ComparisonRow> chosen;
  for (const ComparisonRow& row : rows)
    if (row.quantity == quantity) chosen.push_back(row);
  return chosen;
}

/// The first group of the row that begins with `prefix` ("gpu:"), without it.
std::string group_of(const ComparisonRow& row, std::string_view prefix) {
  for (const std::string& group : row.groups)
    if (group.compare(0, prefix.size(), prefix) == 0) return group.substr(prefix.size());
  return "other";
}

std::string table_by(const std::vector<ComparisonRow>& rows, const std::string& heading, std::string_view prefix) {
  std::map<std::string, std::vector<ComparisonRow>> groups;
  for (const ComparisonRow& row : rows) groups[group_of(row, prefix)].push_back(row);
  std::string out = fmt::format("| {}{}", heading, kSummaryHead);
  for (const auto& [group, members] : groups) out += summary_row(group, summarise(members));
  return out + "\n";
}

/// Points coloured by GPU; the GPU with most points first.
std::string figure(const std::string& title, const std::vector<ComparisonRow>& rows, const QuantityView& view,
                   bool labelled) {
  std::map<std::string, std::int64_t> count;
  for (const ComparisonRow& row : rows) ++count[group_of(row, "gpu:")];
  std::vector<std::pair<std::string, std::int64_t>> order(count.begin(), count.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  constexpr std::size_t own_colour = 7;  // GPUs beyond share the last colour
  Scatter scatter{title, std::string(view.unit), {}, {}};
  std::map<std::string, std::size_t> series;
  for (std::size_t i = 0; i < order.size(); ++i) {
    series[order[i].first] = std::min(i, own_colour);
    if (i < own_colour) scatter.series.push_back(order[i].first);
  }
  if (order.size() > own_colour) scatter.series.push_back(fmt::format("{} others", order.size() - own_colour));
  for (const ComparisonRow& row : rows)
    scatter.points.push_back({row.measured / view.divisor, row.predicted / view.divisor, series[group_of(row, "gpu:")],
                              labelled ? row.id : std::string()});
  return scatter_svg(scatter);
}

/// Why a row is refused, without its numbers: what stands before the first colon or semicolon.
std::string kind_of(const RefusedRow& row) { return row.why.substr(0, row.why.find_first_of(":;")); }

std::string refused_table(const std::vector<MeasuredFile>& files) {
  std::map<std::string, std::map<std::string, std::int64_t>> by_reason;  // [reason][file]
  for (const MeasuredFile& file : files)
    for (const RefusedRow& row : file.comparison.refused) ++by_reason[kind_of(row)][file.name];
  if (by_reason.empty()) return "None.\n\n";
  std::string out = "| reason | rows | where |\n|---|--:|---|\n";
  for (const auto& [reason, where] : by_reason) {
    std::int64_t total = 0;
    std::vector<std::string> parts;
    for (const auto& [name, rows] : where) {
      total += rows;
      parts.push_back(fmt::format("{} ({})", name, rows));
    }
    out += fmt::format("| {} | {} | {} |\n", reason, total, fmt::join(parts, ", "));
  }
  return out + "\n";
}

/// Runs that did happen and that the memory model says cannot; and runs that went out of memory.
std::string memory_refusals(const std::vector<MeasuredFile>& files) {
  std::string refused, boundary;
  for (const MeasuredFile& file : files) {
    for (const RefusedRow& row : file.comparison.refused) {
      const std::string line = fmt::format("- {}: {}\n", row.id, row.why);
      if (row.why.find("out of memory") != std::string::npos)
        boundary += line;
      else if (kind_of(row) == "memory")
        refused += line;
    }
  }
  std::string out = "Runs that did happen and are refused for memory, which they should not be:\n\n";
  out += refused.empty() ? "None.\n\n" : refused + "\n";
  if (!boundary.empty()) out += "Runs that went out of memory, which should be refused:\n\n" + boundary + "\n";
  return out;
}

/// What the page comes to, for a reader in a hurry.
std::string headline(const std::vector<MeasuredFile>& files) {
  std::vector<ComparisonRow> rows;
  for (const MeasuredFile& file : files)
    for (const ComparisonRow& row : of_quantity(file.comparison.rows, kStep.quantity))
      if (group_of(row, "precision:") == "bf16" || group_of(row, "precision:") == "fp16") rows.push_back(row);
  const ErrorSummary s = summarise(rows);
  return fmt::format(
      "In short: the step times of {} published runs of dense models in bf16 and fp16 are predicted with a mean error "
      "of "
      "{},\na median of {} and a rank correlation of {:.3f}. {} of the measured steps lie inside their error bar.\n\n",
      s.count, percent(s.mape), percent(s.median_ape), s.spearman, percent(s.inside_interval));
}

std::string reason_of(const std::string& id, const std::vector<KnownReason>& reasons) {
  for (const KnownReason& known : reasons)
    if (id.starts_with(known.prefix)) return known.reason;
  return "not explained";
}

std::string worst_rows(std::vector<ComparisonRow> rows, const QuantityView& view,
                       const std::vector<KnownReason>& reasons) {
  constexpr std::size_t kShown = 10;
  std::stable_sort(rows.begin(), rows.end(), [](const ComparisonRow& a, const ComparisonRow& b) {
    return std::abs(error_of(a)) > std::abs(error_of(b));
  });
  rows.resize(std::min(rows.size(), kShown));
  std::string out =
      fmt::format("| row | predicted, {0} | measured, {0} | error | reason |\n|---|--:|--:|--:|---|\n", view.unit);
  for (const ComparisonRow& row : rows)
    out += fmt::format("| {} | {:.4g} | {:.4g} | {} | {} |\n", row.id, row.predicted / view.divisor,
                       row.measured / view.divisor, signed_percent(error_of(row)), reason_of(row.id, reasons));
  return out + "\n";
}

/// A section for one quantity of the runs: sums by source and by GPU, worst rows, a figure for each source.
std::string runs_section(const std::vector<MeasuredFile>& files, const QuantityView& view,
                         const std::vector<KnownReason>& reasons, std::vector<TextFile>& figures) {
  std::vector<ComparisonRow> all;
  std::string by_source, images;
  for (const MeasuredFile& file : files) {
    const std::vector<ComparisonRow> rows = of_quantity(file.comparison.rows, view.quantity);
    if (rows.empty()) continue;
    all.insert(all.end(), rows.begin(), rows.end());
    by_source += summary_row(file.name, summarise(rows));
    const std::string path = fmt::format("accuracy/{}{}.svg", file.stem, view.stem);
    figures.push_back({path, figure(file.name, rows, view, true)});
    images += fmt::format("![{0}, predicted against measured]({1})\n", file.name, path);
  }
  std::string out = fmt::format("## {}\n\n", view.heading);
  if (all.empty()) return out + "No rows.\n\n";
  out += fmt::format("| source{}{}{}\n", kSummaryHead, by_source, summary_row("**all**", summarise(all)));
  out += table_by(all, "precision", "precision:") + table_by(all, "framework", "framework:") +
         table_by(all, "GPU", "gpu:");
  return out + "Worst ten rows:\n\n" + worst_rows(all, view, reasons) + images + "\n";
}

/// A section for kernels or collectives: sums by kind and group, and one figure for each kind.
std::string parts_section(std::string_view heading, const std::vector<MeasuredFile>& files,
                          std::vector<TextFile>& figures) {
  std::vector<ComparisonRow> all;
  for (const MeasuredFile& file : files)
    all.insert(all.end(), file.comparison.rows.begin(), file.comparison.rows.end());
  std::string out = fmt::format("## {}\n\n", heading);
  for (const auto& [quantity, summary] : summarise_by_quantity(all)) {
    out += fmt::format("| {}{}{}", quantity, kSummaryHead, summary_row("**all**", summary.all));
    for (const auto& [group, s] : summary.groups) out += summary_row(group, s);
    const std::string path = fmt::format("accuracy/{}.svg", quantity);
    figures.push_back({path, figure(quantity, of_quantity(all, quantity), kMicroseconds, false)});
    out += fmt::format("\n![{0}, predicted against measured]({1})\n\n", quantity, path);
  }
  return out + "Refused:\n\n" + refused_table(files);
}

/// All-reduce on 8 H100 by size, against the median of the hosts that measured it.
std::string host_medians_section(const std::vector<ComparisonRow>& rows) {
  if (rows.empty()) return "";
  std::string out = fmt::format(
      "### All-reduce on 8 H100 against the median of the measured hosts\n\nMAPE {:.1f} %, bias {:+.1f} %.\n\n"
      "| size | predicted us | measured us | error |\n|---|---|---|---|\n",
      100 * summarise(rows).mape, 100 * summarise(rows).bias);
  for (const ComparisonRow& row : rows)
    out += fmt::format("| {} | {:.1f} | {:.1f} | {:+.1f} % |\n", row.id, 1e6 * row.predicted, 1e6 * row.measured,
                       100 * error_of(row));
  return out + "\n";
}

constexpr std::string_view kIntroduction = R"(# Accuracy

What Foretrain predicts beside what others measured and published. No row has a number of its own: efficiencies come
from measured kernels and collectives, overheads from the trainer. `make accuracy` writes this page and its figures from
`validate/published/`.

An error is (predicted - measured) / measured. MAPE is the mean of its absolute value, bias its mean (above zero: predicted
too long or too much); 90th is the value that nine rows in ten do not exceed; Spearman is the rank correlation of predicted
and measured. In the figures the line is the identity and the band is 10 % to either side.

)";

}  // namespace

std::vector<TextFile> accuracy_report(const AccuracyInput& input) {
  std::vector<TextFile> files = {{"ACCURACY.md", std::string(kIntroduction)}};
  std::string page = headline(input.runs) + runs_section(input.runs, kStep, input.reasons, files) +
                     runs_section(input.runs, kMemory, {}, files);
  page += "## Runs that were refused\n\n" + refused_table(input.runs) + memory_refusals(input.runs);
  page += parts_section("Kernels", input.kernels, files) + parts_section("Collectives", input.collectives, files);
  page += host_medians_section(input.host_medians);
  files.front().content += page;
  return files;
}

}  // namespace foretrain
