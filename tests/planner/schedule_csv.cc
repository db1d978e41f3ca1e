#include "tests/planner/schedule_csv.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(by);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

struct Cell {
  std::int32_t stage = 0, micro_batch = 0;
  sim::PassKind kind = sim::PassKind::forward;
};

Cell read_cell(std::string_view text, const std::string& where) {
  Cell cell;
  const char* end = text.data() + text.size();
  const auto stage = std::from_chars(text.data(), end, cell.stage);
  const bool has_kind = stage.ec == std::errc{} && stage.ptr != end && (*stage.ptr == 'F' || *stage.ptr == 'B');
  if (has_kind) {
    cell.kind = *stage.ptr == 'F' ? sim::PassKind::forward : sim::PassKind::backward;
    const auto batch = std::from_chars(stage.ptr + 1, end, cell.micro_batch);
    if (batch.ec == std::errc{} && batch.ptr == end && cell.stage >= 0 && cell.micro_batch >= 0) return cell;
  }
  throw SpecError(where,
                  fmt::format("expected a pass such as 2F0: stage, F or B, microbatch; got {}", in_quotes(text)));
}

std::string name_of(const ScheduleTable& table) {
  for (const sim::Schedule& schedule : sim::schedules()) {
    if (schedule.why_illegal(table.shape) != nullptr) continue;
    bool is_same = true;
    for (std::int32_t s = 0; s < table.shape.stages && is_same; ++s)
      is_same = schedule.order(table.shape, s) == table.ranks[static_cast<std::size_t>(s)];
    if (is_same) return std::string(schedule.name);
  }
  return "";
}

}  // namespace

ScheduleTable read_schedule_csv(std::string_view text, const std::string& file) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  const std::vector<std::string_view> rows = split(text, '\n');
  ScheduleTable table;
  std::vector<std::vector<Cell>> cells(rows.size());
  std::int32_t stages = 1, micro_batches = 1;
  const auto ranks = static_cast<std::int32_t>(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::string where = fmt::format("{}:{}", file, r + 1);
    for (const std::string_view part : split(rows[r], ',')) {
      if (part.empty()) continue;
      const Cell cell = read_cell(part, where);
      if (cell.stage % ranks != static_cast<std::int32_t>(r))
        throw SpecError(where, fmt::format("stage {} runs on rank {} of {}; found on rank {}", cell.stage,
                                           cell.stage % ranks, ranks, r));
      constexpr std::int32_t kMost = 1'000'000;
      if (cell.stage >= kMost || cell.micro_batch >= kMost)
        throw SpecError(where, fmt::format("expected stages and microbatches below {}", kMost));
      stages = std::max(stages, cell.stage + 1);
      micro_batches = std::max(micro_batches, cell.micro_batch + 1);
      cells[r].push_back(cell);
    }
  }
  if (stages % ranks != 0) throw SpecError(file, fmt::format("{} stages do not divide by {} ranks", stages, ranks));
  table.shape = {.stages = ranks, .virtual_stages = stages / ranks, .micro_batches = micro_batches};
  const std::int64_t passes = std::int64_t{2} * table.shape.virtual_stages * micro_batches;
  for (std::size_t r = 0; r < cells.size(); ++r) {
    const std::string where = fmt::format("{}:{}", file, r + 1);
    if (static_cast<std::int64_t>(cells[r].size()) != passes)
      throw SpecError(where,
                      fmt::format("expected {} passes, forward and backward of {} stages and {} microbatches; got {}",
                                  passes, table.shape.virtual_stages, micro_batches, cells[r].size()));
    std::vector<bool> seen(static_cast<std::size_t>(passes));
    std::vector<sim::Pass>& rank = table.ranks.emplace_back();
    for (const Cell& cell : cells[r]) {
      const sim::Pass pass = {.kind = cell.kind, .chunk = cell.stage / ranks, .micro_batch = cell.micro_batch};
      const auto place = static_cast<std::size_t>(2 * (std::int64_t{pass.chunk} * micro_batches + pass.micro_batch) +
                                                  (pass.kind == sim::PassKind::forward ? 0 : 1));
      if (seen[place])
        throw SpecError(where,
                        fmt::format("{} stands twice", in_quotes(fmt::format("{}F{}", cell.stage, cell.micro_batch))));
      seen[place] = true;
      rank.push_back(pass);
    }
  }
  table.name = name_of(table);
  return table;
}

}  // namespace foretrain
