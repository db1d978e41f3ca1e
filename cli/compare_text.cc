#include "cli/compare_text.h"

#include <map>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain::cli {
namespace {

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string amount(const ComparisonRow& row, double value) {
  if (row.quantity.ends_with("_bytes")) return to_text(value * bytes);
  return to_text(value * seconds);
}

void add_summary(const std::string& name, const ErrorSummary& s, TextTable& table) {
  table.rows.push_back({name, fmt::format("{}", s.count), percent(s.mape), percent(s.median_ape), percent(s.p90_ape),
                        percent(s.max_ape), fmt::format("{:+.1f} %", 100 * s.bias), fmt::format("{:.3f}", s.spearman),
                        percent(s.within_10_percent)});
}

std::string summaries(const Comparison& comparison) {
  TextTable table{{"quantity", "rows", "MAPE", "median", "90th", "worst", "bias", "Spearman", "within 10 %"},
                  {},
                  {false, true, true, true, true, true, true, true, true}};
  for (const auto& [quantity, summary] : summarise_by_quantity(comparison.rows)) {
    add_summary(quantity, summary.all, table);
    for (const auto& [group, part] : summary.groups) add_summary("  " + group, part, table);
  }
  return table.rows.empty() ? "Nothing to compare.\n" : to_text(table);
}

/// Refusals by reason: what stands before the first colon or semicolon.
std::string refusals(const Comparison& comparison) {
  std::map<std::string, std::int64_t> by_reason;
  for (const RefusedRow& row : comparison.refused) ++by_reason[row.why.substr(0, row.why.find_first_of(":;"))];
  std::string text = fmt::format("\n{} refused", comparison.refused.size());
  for (const auto& [reason, rows] : by_reason) text += fmt::format("\n  {:5}  {}", rows, reason);
  return text + "\n";
}

std::string every_row(const Comparison& comparison) {
  TextTable table{{"id", "quantity", "predicted", "measured", "error"}, {}, {false, false, true, true, true}};
  for (const ComparisonRow& row : comparison.rows)
    table.rows.push_back({row.id, row.quantity, amount(row, row.predicted), amount(row, row.measured),
                          fmt::format("{:+.1f} %", 100 * error_of(row))});
  std::string text = to_text(table) + "\n";
  for (const RefusedRow& row : comparison.refused) text += fmt::format("{}  refused: {}\n", row.id, row.why);
  return text + "\n";
}

}  // namespace

std::string comparison_text(const Comparison& comparison, bool rows, const Calibration* calibration) {
  std::string text = (rows ? every_row(comparison) : "") + summaries(comparison) + refusals(comparison);
  if (calibration != nullptr)
    text += fmt::format("Corrected by {} ({}).\n", calibration->name, calibration->sha256.substr(0, 8));
  return text;
}

}  // namespace foretrain::cli
