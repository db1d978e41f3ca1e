/// `foretrain explain`: where two plans of a plan file differ, and what refused the others.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_node.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "cli/subcommands.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

/// One label of both plans, in base units.
struct Difference {
  std::string label;
  double own = 0, other = 0;
};

double number(Seconds time) { return time.base(); }
double number(std::int64_t count) { return static_cast<double>(count); }

/// Labels of either plan, in their order; what one plan lacks is 0 there.
template <typename Value>
std::vector<Difference> differences(const std::vector<std::pair<std::string, Value>>& own,
                                    const std::vector<std::pair<std::string, Value>>& other) {
  std::vector<Difference> rows;
  for (const auto& entry : own) rows.push_back({entry.first, number(entry.second), 0});
  for (const auto& entry : other) {
    const auto same =
        std::find_if(rows.begin(), rows.end(), [&](const Difference& d) { return d.label == entry.first; });
    if (same == rows.end()) {
      rows.push_back({entry.first, 0, number(entry.second)});
    } else {
      same->other = number(entry.second);
    }
  }
  return rows;
}

const StoredPlan& pick(const PlanFile& file, std::int32_t number, const ExplainOptions& options, const char* flag) {
  if (static_cast<std::size_t>(number) > file.plans.size())
    throw SpecError(options.file, fmt::format("{} {}: the file holds {} plans", flag, number, file.plans.size()));
  return file.plans[static_cast<std::size_t>(number - 1)];
}

std::string difference_table(const std::string& title, const std::vector<Difference>& rows,
                             const ExplainOptions& options, std::string (*text)(double)) {
  TextTable table{{title, fmt::format("plan {}", options.plan), fmt::format("plan {}", options.against), "difference"},
                  {},
                  {false, true, true, true}};
  for (const Difference& row : rows) {
    if (row.own == 0 && row.other == 0) continue;
    double more = row.other - row.own;
    if (std::abs(more) < 1e-9 * std::max(row.own, row.other)) more = 0;  // sums that were added in another order
    table.rows.push_back(
        {row.label, text(row.own), text(row.other), (more < 0 ? "-" : "+") + text(more < 0 ? -more : more)});
  }
  return to_text(table);
}

std::string seconds_text(double value) { return step_text(value * seconds); }
std::string gib_text(double value) { return fmt::format("{:.2f} GiB", value / GiB.base()); }

std::string why_not(const PlanFile& file) {
  std::string text = fmt::format("Of {} plans:", file.considered);
  for (const auto& entry : file.rejected) text += fmt::format(" {} refused for {},", entry.second, entry.first);
  text += fmt::format(" {} cut by bound, {} simulated\n", file.cut_by_bound, file.simulated);
  if (file.stopped_early)
    text += fmt::format("The search was stopped early: {} plans judged and left out, others never looked at.\n",
                        file.left_out);
  return text;
}

nlohmann::ordered_json difference_json(const std::vector<Difference>& rows) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Difference& row : rows)
    out[row.label] = {{"plan", row.own}, {"against", row.other}, {"difference", row.other - row.own}};
  return out;
}

}  // namespace

int explain(const ExplainOptions& options) {
  const PlanFile file = read_plan_file(SpecNode::read_file(options.file));
  const StoredPlan& own = pick(file, options.plan, options, "--plan");
  const StoredPlan& other = pick(file, options.against, options, "--against");
  const std::vector<Difference> time = differences(own.time, other.time);
  const std::vector<Difference> memory = differences(own.memory, other.memory);
  if (options.format == Format::json) {
    nlohmann::ordered_json rejected = nlohmann::ordered_json::object();
    for (const auto& entry : file.rejected) rejected[entry.first] = entry.second;
    const nlohmann::ordered_json document = {
        {"plan", options.plan},
        {"against", options.against},
        {"step_seconds",
         {{"plan", own.step.base()}, {"against", other.step.base()}, {"difference", (other.step - own.step).base()}}},
        {"time", difference_json(time)},
        {"memory", difference_json(memory)},
        {"search",
         {{"considered", file.considered},
          {"rejected", rejected},
          {"cut_by_bound", file.cut_by_bound},
          {"simulated", file.simulated},
          {"stopped_early", file.stopped_early},
          {"left_out", file.left_out}}}};
    print(document.dump(2) + "\n");
    return kDone;
  }
  std::string text = fmt::format("Plan {}: {}, step {}\nPlan {}: {}, step {}", options.plan, to_text(own.plan),
                                 step_text(own.step), options.against, to_text(other.plan), step_text(other.step));
  if (own.step.base() > 0) text += fmt::format(" ({:+.1f} %)", 100 * ((other.step - own.step) / own.step));
  text += "\n\n" + difference_table("time", time, options, seconds_text) + "\n";
  text += difference_table("memory of the fullest stage", memory, options, gib_text) + "\n" + why_not(file);
  print(text);
  return kDone;
}

}  // namespace foretrain::cli
