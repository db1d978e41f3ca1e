#include "validate/calibrate/calibration_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace foretrain {
namespace {

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }

/// "2.3 -> 1.1"
std::string change(double before, double after) { return fmt::format("{} -> {}", percent(before), percent(after)); }

/// "m 1024-65536, k 128-8192": what was measured, of the axes that are sizes and vary.
std::string range_of(const CorrectionSurface& surface) {
  std::string text;
  for (const CorrectionSurface::Axis& axis : surface.parts().axes) {
    const bool halved = axis.name == "log2 columns / 2", doubled = axis.name.starts_with("2 log2 ");
    if (!axis.name.starts_with("log2 ") && !doubled) continue;
    if (axis.most - axis.least < 1e-4) continue;
    std::string name = axis.name.substr(doubled ? 7 : 5);
    if (halved) name = "columns";
    const double scale = halved ? 2 : doubled ? 0.5 : 1;
    const auto size = [&](double x) {
      const double value = std::exp2(scale * x);
      return name == "bytes" ? to_text(value * bytes) : fmt::format("{:.0f}", value);
    };
    text += fmt::format("{}{} {} to {}", text.empty() ? "" : ", ", name, size(axis.least), size(axis.most));
  }
  return text.empty() ? "one shape" : text;
}

template <class Correction>
void add_rows(const std::vector<Correction>& corrections, TextTable& table) {
  for (const Correction& c : corrections) {
    const FitQuality& q = c.quality;
    table.rows.push_back({c.gpu, to_text(c.family),
                          std::string(kMeasuredInNames[static_cast<std::size_t>(c.measured_in)]),
                          fmt::format("{}", q.before.rows), change(q.before.median, q.after.median),
                          change(q.before.p90, q.after.p90), fmt::format("{}", q.held_out_before.rows),
                          q.held_out_before.rows == 0 ? "" : change(q.held_out_before.median, q.held_out_after.median),
                          fmt::format("{}", q.outliers), range_of(c.surface)});
  }
}

std::string family_table(const Calibration& c) {
  TextTable table{
      .header = {"gpu", "what", "measured", "rows", "median %", "90th %", "held out", "median %", "outliers", "range"},
      .rows = {},
      .right = {false, false, false, true, true, true, true, true, true, false}};
  add_rows(c.kernels, table);
  add_rows(c.collectives, table);
  return table.rows.empty()
             ? ""
             : "Corrections, |predicted - measured| / measured before -> after:\n" + to_text(table) + "\n";
}

/// The rows that a step is made of, by GPU and kind.
std::string summary_table(const std::vector<JudgedRow>& rows) {
  struct Errors {
    std::vector<double> before[2], after[2];  // [held out]
    std::int64_t outside = 0;
  };
  std::map<std::pair<std::string, std::string>, Errors> groups;
  for (const JudgedRow& row : rows) {
    if (!row.large) continue;
    const std::string kind = row.collective                        ? "collectives of 1 MiB and more"
                             : row.gemm                            ? "matrix products of 10 GFLOP and more"
                             : row.family.starts_with("attention") ? "attention of 10 GFLOP and more"
                                                                   : "kernels that move 16 MiB and more";
    Errors& e = groups[{row.gpu, kind}];
    e.before[row.held_out ? 1 : 0].push_back(row.before);
    e.after[row.held_out ? 1 : 0].push_back(row.after);
    e.outside += row.held_out && row.outside ? 1 : 0;
  }
  TextTable table{.header = {"gpu", "what", "rows", "median %", "90th %", "held out", "median %", "90th %", "outside"},
                  .rows = {},
                  .right = {false, false, true, true, true, true, true, true, true}};
  for (const auto& [key, e] : groups) {
    std::vector<std::string> line = {key.first, key.second};
    for (int side = 0; side < 2; ++side) {
      const Residuals before = residuals_of(e.before[side]), after = residuals_of(e.after[side]);
      line.push_back(fmt::format("{}", before.rows));
      line.push_back(before.rows == 0 ? "" : change(before.median, after.median));
      line.push_back(before.rows == 0 ? "" : change(before.p90, after.p90));
    }
    line.push_back(fmt::format("{}", e.outside));
    table.rows.push_back(std::move(line));
  }
  return table.rows.empty() ? "" : "What steps are made of:\n" + to_text(table) + "\n";
}

std::string constants_text(const Calibration& c) {
  std::string text;
  for (const MeasuredSustainedRate& s : c.sustained)
    text += fmt::format("{}: inside a step, matrix products run at {:.3f} of their isolated rate ({} kernels)\n", s.gpu,
                        s.rate, s.kernels);
  for (const MeasuredLaunch& l : c.launches)
    text += fmt::format("Launch by {}, {}: {} ({} samples)\n", l.framework, l.backward ? "backward" : "forward",
                        to_text(l.time), l.samples);
  if (!text.empty()) text += "\n";
  if (c.rates.empty()) return text;
  TextTable table{
      .header = {"gpu", "rate", "latency", "bandwidth", "rows"}, .rows = {}, .right = {false, false, true, true, true}};
  for (const MeasuredRate& r : c.rates)
    table.rows.push_back(
        {r.gpu, r.what, r.latency ? to_text(*r.latency) : "", to_text(r.bandwidth), fmt::format("{}", r.rows)});
  return text + "Latencies (up to 4 KiB) and bandwidths (bus bandwidth of the largest sizes):\n" + to_text(table) +
         "\n";
}

std::string sources_text(const Calibration& c) {
  TextTable table{.header = {"file", "kind", "device", "date", "rows", "used"},
                  .rows = {},
                  .right = {false, false, false, false, true, true}};
  for (const CalibrationSource& s : c.sources)
    table.rows.push_back({s.file, s.kind, s.device.empty() ? "-" : s.device, s.date.empty() ? "-" : s.date,
                          fmt::format("{}", s.rows), fmt::format("{}", s.used)});
  return to_text(table) + "\n";
}

std::string left_out_text(const Calibration& c) {
  if (c.left_out.empty()) return {};
  std::string text = "Left out:\n";
  for (const LeftOutRows& l : c.left_out) text += fmt::format("  {:>6}  {}: {}\n", l.rows, l.file, l.why);
  return text;
}

}  // namespace

std::string calibration_report(const CalibrationResult& result) {
  const Calibration& c = result.calibration;
  return sources_text(c) + family_table(c) + summary_table(result.rows) + constants_text(c) + left_out_text(c);
}

}  // namespace foretrain
