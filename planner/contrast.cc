#include "planner/contrast.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/apportion.h"
#include "base/check.h"

namespace foretrain {
namespace {

struct Amount {
  std::string label;
  std::int64_t count = 0;
};

std::vector<Amount> picoseconds_by_label(const PlanReport& report) {
  std::vector<double> shares;
  for (const TimePart& part : report.time) shares.push_back(part.time.base());
  const std::vector<std::int64_t> counts = apportioned(shares, to_picoseconds(report.step).count);
  std::vector<Amount> amounts;
  for (std::size_t i = 0; i < counts.size(); ++i) amounts.push_back({report.time[i].name, counts[i]});
  return amounts;
}

std::vector<Amount> bytes_by_label(const PlanReport& report) {
  const MemoryAnatomy& stage = fullest_stage(report);
  std::vector<Amount> amounts;
  for (std::size_t i = 0; i < kMemoryLabelNames.size(); ++i)
    amounts.push_back({std::string(kMemoryLabelNames[i]), stage.by_label[i]});
  return amounts;
}

Contrast beside(const std::vector<Amount>& own, const std::vector<Amount>& other) {
  Contrast c;
  for (const Amount& a : own) {
    c.rows.push_back({a.label, a.count, 0});
    c.own += a.count;
  }
  for (const Amount& a : other) {
    c.other += a.count;
    const auto same =
        std::find_if(c.rows.begin(), c.rows.end(), [&](const ContrastRow& row) { return row.label == a.label; });
    if (same == c.rows.end()) {
      c.rows.push_back({a.label, 0, a.count});
    } else {
      same->other = a.count;
    }
  }
  return c;
}

std::int64_t rounded(std::int64_t count, std::int64_t unit) { return (count + unit / 2) / unit; }

}  // namespace

const MemoryAnatomy& fullest_stage(const PlanReport& report) {
  FORETRAIN_CHECK(!report.stages.empty());
  return *std::max_element(report.stages.begin(), report.stages.end(),
                           [](const MemoryAnatomy& a, const MemoryAnatomy& b) { return a.total < b.total; });
}

Contrast contrast_time(const PlanReport& own, const PlanReport& other) {
  return beside(picoseconds_by_label(own), picoseconds_by_label(other));
}

Contrast contrast_memory(const PlanReport& own, const PlanReport& other) {
  return beside(bytes_by_label(own), bytes_by_label(other));
}

Contrast in_units(const Contrast& contrast, std::int64_t unit) {
  FORETRAIN_CHECK(unit > 0);
  std::vector<double> own, other;
  for (const ContrastRow& row : contrast.rows) {
    own.push_back(static_cast<double>(row.own));
    other.push_back(static_cast<double>(row.other));
  }
  Contrast c{.rows = contrast.rows, .own = rounded(contrast.own, unit), .other = rounded(contrast.other, unit)};
  const std::vector<std::int64_t> owns = apportioned(own, c.own), others = apportioned(other, c.other);
  for (std::size_t i = 0; i < c.rows.size(); ++i) {
    c.rows[i].own = owns[i];
    c.rows[i].other = others[i];
  }
  return c;
}

}  // namespace foretrain
