// What `nccl-tests -J file.json` writes.
#include <cmath>

#include <fmt/format.h>

#include "validate/calibrate/nccl_log.h"

namespace foretrain {
namespace {

constexpr IntRange kSizes = {0, 1'000'000'000'000'000};

/// NaN is the text "nan".
std::optional<double> real(const SpecNode& node, std::string_view key) {
  const auto value = node.optional(key);
  if (!value || value->is_string()) return std::nullopt;
  return value->as_real({-1e18, 1e18});
}

std::optional<NcclTiming> timing(const SpecNode& row, std::string_view key) {
  const auto node = row.optional(key);
  if (!node) return std::nullopt;
  const auto time = node->has("time") ? real(*node, "time") : real(*node, "cpu_time");
  if (!time) return std::nullopt;
  return NcclTiming{.time_us = *time,
                    .alg_gb_per_s = real(*node, "alg_bw").value_or(0),
                    .bus_gb_per_s = real(*node, "bus_bw").value_or(0),
                    .wrong = real(*node, "nwrong")};
}

NcclRow row_of(const SpecNode& node) {
  NcclRow row;
  row.bytes = node.required("size").as_int(kSizes);
  row.count = node.required("count").as_int(kSizes);
  row.type = node.required("type").as_string();
  if (const auto redop = node.optional("redop")) row.redop = redop->as_string();
  row.out_of_place = timing(node, "out_of_place");
  row.in_place = timing(node, "in_place");
  return row;
}

std::string text_or_empty(const SpecNode& node, std::string_view key) {
  const auto value = node.optional(key);
  if (!value) return {};
  return value->is_string() ? value->as_string() : value->dump();
}

/// Each process lists its first GPU only; it drives `per_process` of them, one after the other.
void read_devices(const SpecNode& config, NcclTable& table) {
  const auto devices = config.optional("devices");
  if (!devices) return;
  const std::int64_t per_process = std::max<std::int64_t>(1, table.gpus_per_process);
  for (const SpecNode& node : devices->items()) {
    const NcclRank first = {.rank = node.required("rank").as_int({0, 100'000'000}),
                            .host = text_or_empty(node, "hostname"),
                            .device = node.required("device").as_int({0, 100'000}),
                            .gpu = text_or_empty(node, "device_info")};
    for (std::int64_t i = 0; i < per_process; ++i) {
      NcclRank rank = first;
      rank.rank += i;
      rank.device += i;
      table.ranks.push_back(rank);
    }
  }
}

}  // namespace

bool is_nccl_json(const SpecNode& file) {
  return file.is_object() && file.has("results") && file.has("config") && file.has("version");
}

std::string closed_nccl_json(std::string_view text) {
  constexpr std::string_view kResults = "\"results\":[", kLastKey = "\"experiment_name\":";
  const std::size_t results = text.find(kResults);
  if (!text.starts_with("{") || results == std::string_view::npos) return {};
  const std::size_t last = text.rfind(kLastKey);
  const std::size_t end = last == std::string_view::npos ? last : text.find('}', last);
  const bool has_row = end != std::string_view::npos && end > results;
  return std::string(text.substr(0, has_row ? end + 1 : results + kResults.size())) + "]}";
}

NcclLog read_nccl_json(const SpecNode& file) {
  NcclLog log;
  NcclTable table;
  const SpecNode config = file.required("config");
  const auto count = [&](std::string_view key) {
    const auto value = config.optional(key);
    return value ? value->as_int({1, 100'000}) : 1;
  };
  table.gpus_per_process = count("nthreads") * count("ngpus");
  table.has_root_column = true;
  table.version = "NCCL " + text_or_empty(file, "nccl_version");
  if (const auto code = file.optional("nccl_version"); code && !code->is_string())
    table.nccl = nccl_version_text(code->as_int({0, 1'000'000}));
  if (const auto args = file.optional("args"); args && args->size() > 0) {
    const std::string program = args->items().front().as_string();
    table.program = program.substr(program.find_last_of('/') + 1);
  }
  read_devices(config, table);
  const SpecNode results = file.required("results");
  for (const SpecNode& row : results.items()) table.rows.push_back(row_of(row));
  if (table.rows.empty()) results.fail_expected("at least one size; the run was cut before its first");
  log.date = text_or_empty(file, "start_time").substr(0, 10);
  if (!file.has("end_time"))
    log.warnings.push_back(
        fmt::format("{}: the run did not end by itself; its {} rows are kept", file.file(), table.rows.size()));
  log.tables.push_back(std::move(table));
  return log;
}

}  // namespace foretrain
