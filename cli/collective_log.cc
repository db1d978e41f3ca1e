#include "cli/collective_log.h"

#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "base/text.h"
#include "cli/cluster_input.h"
#include "cli/compare_text.h"
#include "cli/output.h"
#include "validate/calibrate/nccl_samples.h"
#include "validate/comparison.h"

namespace foretrain::cli {
namespace {

using Json = nlohmann::ordered_json;

struct LogRow {
  std::int64_t line = 0;
  Bytes size;
  CollectiveTime predicted;
  std::optional<Seconds> out_of_place, in_place;
};
struct LogTable {
  std::string file, nccl;
  PlacedTable placed;
  std::vector<LogRow> rows;
};
struct LeftOutTable {
  std::string where, why;
};
struct Beside {
  std::vector<LogTable> tables;
  std::vector<LeftOutTable> left_out;
  std::vector<std::string> warnings;
  std::string first_table;  ///< "file:line"
};

double error_of(Seconds predicted, Seconds measured) { return predicted / measured - 1; }

/// A time that can be compared: there, above zero, of a right result.
std::optional<Seconds> sound(const std::optional<NcclTiming>& timing) {
  if (!timing || !(timing->time_us > 0) || (timing->wrong && *timing->wrong > 0)) return std::nullopt;
  return timing->time_us * microseconds;
}

std::string where_of(const std::string& file, const NcclTable& table) {
  const std::int64_t line = table.rows.empty() ? 0 : table.rows.front().line;
  return line > 0 ? fmt::format("{}:{}", file, line) : file;
}

/// Why this table is not what was asked for; "" when it is. Its own program decides what it timed.
std::string other_than_asked(const NcclTable& table, CollectiveOp op, const CollectiveOptions& options) {
  const std::int64_t ranks = rank_count(table);
  if (options.ranks > 0 && ranks > 0 && ranks != options.ranks)
    return fmt::format("it has {} ranks, not --ranks {}", ranks, options.ranks);
  std::string why;
  const auto timed = operation_of(table, ranks, why);
  if (!timed) return table.program.empty() || why.find("--op") != std::string::npos ? "" : why;
  return *timed == op ? ""
                      : fmt::format("it times {}, not {}", kCollectiveNames[static_cast<std::size_t>(*timed)],
                                    kCollectiveNames[static_cast<std::size_t>(op)]);
}

void add_table(const std::string& file, const NcclTable& table, CollectiveOp op, const CollectiveOptions& options,
               const Catalogue& catalogue, Beside& out) {
  const std::string where = where_of(file, table);
  if (out.first_table.empty()) out.first_table = where;
  std::string why = other_than_asked(table, op, options);
  if (!why.empty()) return out.left_out.push_back({where, why});
  const std::int64_t ranks = options.ranks > 0 ? options.ranks : rank_count(table);
  MeasurementOptions measured;
  measured.cluster = read_cluster(catalogue, options.cluster, ranks);
  measured.gpu = measured.cluster->gpu.name;
  measured.ranks = options.ranks;
  measured.ranks_per_node = options.ranks_per_node;
  measured.op = op;
  const auto placed = place_table(table, measured, catalogue, why);
  constexpr std::string_view kOtherGpu = ", not of --gpu";  // --cluster says which GPU is meant
  if (why.ends_with(kOtherGpu))
    why.replace(why.size() - kOtherGpu.size(), kOtherGpu.size(),
                fmt::format(", not the {} of --cluster", measured.gpu));
  if (!placed) return out.left_out.push_back({where, why});
  LogTable log{file, table.nccl, *placed, {}};
  ClusterSpec cluster = *placed->cluster;
  force_choice(op, options, cluster);
  log.placed.group.groups_sharing_nics = options.groups_sharing_nics;
  for (const NcclRow& row : table.rows) {
    if (row.bytes <= 0) continue;
    const Bytes size = static_cast<double>(row.bytes) * bytes;
    log.rows.push_back({row.line, size, collective_time(op, size, log.placed.group, cluster), sound(row.out_of_place),
                        sound(row.in_place)});
  }
  out.tables.push_back(std::move(log));
}

Comparison comparison_of(const Beside& beside) {
  Comparison comparison;
  for (const LogTable& table : beside.tables)
    for (const LogRow& row : table.rows)
      for (const bool in_place : {false, true}) {
        const auto& measured = in_place ? row.in_place : row.out_of_place;
        if (!measured) continue;
        comparison.rows.push_back({.id = fmt::format("{}:{} {:.0f} B", table.file, row.line, row.size / bytes),
                                   .quantity = "collective_seconds",
                                   .groups = {in_place ? "buffers: in place" : "buffers: out of place",
                                              row.size < 1 * MiB ? "size: under 1 MiB" : "size: 1 MiB and more"},
                                   .predicted = row.predicted.time / seconds,
                                   .measured = *measured / seconds});
      }
  for (const LeftOutTable& table : beside.left_out) comparison.refused.push_back({table.where, table.why});
  return comparison;
}

std::string_view name_of(const CollectiveTime& t) { return kAlgorithmNames[static_cast<std::size_t>(t.algorithm)]; }
std::string_view protocol_of(const CollectiveTime& t) { return kProtocolNames[static_cast<std::size_t>(t.protocol)]; }

std::string text_of(const LogTable& table) {
  TextTable text{{"size", "predicted", "measured", "error", "in place", "error", "algorithm", "protocol"},
                 {},
                 {true, true, true, true, true, true}};
  const auto add = [](const std::optional<Seconds>& measured, Seconds predicted, std::vector<std::string>& cells) {
    cells.push_back(measured ? to_text(*measured) : "-");
    cells.push_back(measured ? fmt::format("{:+.1f} %", 100 * error_of(predicted, *measured)) : "-");
  };
  for (const LogRow& row : table.rows) {
    std::vector<std::string> cells = {to_text(row.size), to_text(row.predicted.time)};
    add(row.out_of_place, row.predicted.time, cells);
    add(row.in_place, row.predicted.time, cells);
    cells.emplace_back(name_of(row.predicted));
    cells.emplace_back(protocol_of(row.predicted));
    text.rows.push_back(std::move(cells));
  }
  const PlacedTable& p = table.placed;
  const std::string nccl = table.nccl.empty() ? "" : ", NCCL " + table.nccl;
  return fmt::format("{}: {} on {} GPUs of {}, {} to an NVLink domain{}\n\n{}\n", table.file,
                     kCollectiveNames[static_cast<std::size_t>(p.op)], p.group.ranks, p.cluster->gpu.name,
                     p.group.ranks_per_node, nccl, to_text(text));
}

Json to_json(const LogTable& table) {
  const PlacedTable& p = table.placed;
  Json document = {{"file", table.file},
                   {"op", kCollectiveNames[static_cast<std::size_t>(p.op)]},
                   {"gpu", p.cluster->gpu.name},
                   {"ranks", p.group.ranks},
                   {"ranks_per_node", p.group.ranks_per_node},
                   {"nccl_version", table.nccl},
                   {"rows", Json::array()}};
  for (const LogRow& row : table.rows) {
    Json entry = {{"bytes", row.size.base()},
                  {"predicted_seconds", row.predicted.time.base()},
                  {"algorithm", name_of(row.predicted)},
                  {"protocol", protocol_of(row.predicted)}};
    if (row.out_of_place) {
      entry["measured_seconds"] = row.out_of_place->base();
      entry["error"] = error_of(row.predicted.time, *row.out_of_place);
    }
    if (row.in_place) {
      entry["in_place_seconds"] = row.in_place->base();
      entry["in_place_error"] = error_of(row.predicted.time, *row.in_place);
    }
    document["rows"].push_back(std::move(entry));
  }
  return document;
}

}  // namespace

int collective_beside_logs(CollectiveOp op, const CollectiveOptions& options, const Catalogue& catalogue) {
  (void)read_cluster(catalogue, options.cluster, options.ranks);  // a wrong cluster is named before a log
  Beside beside;
  for (const std::string& file : options.logs) {
    const NcclLog log = read_nccl_file(file);
    beside.warnings.insert(beside.warnings.end(), log.warnings.begin(), log.warnings.end());
    for (const NcclTable& table : log.tables) add_table(file, table, op, options, catalogue, beside);
  }
  const Comparison comparison = comparison_of(beside);
  if (comparison.rows.empty()) {
    if (!beside.left_out.empty()) throw SpecError(beside.left_out.front().where, beside.left_out.front().why);
    throw SpecError(beside.first_table, "expected at least one row with a time and a right result");
  }
  for (const std::string& warning : beside.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (options.format == Format::json) {
    Json document = Json::parse(comparison_json(comparison));
    document.erase("rows");
    Json tables = Json::array();
    for (const LogTable& table : beside.tables) tables.push_back(to_json(table));
    Json all = {{"tables", std::move(tables)}};
    all.update(document);
    print(all.dump(2) + "\n");
    return kDone;
  }
  std::string text;
  for (const LogTable& table : beside.tables) text += text_of(table);
  print(text + comparison_text(comparison, false));
  return kDone;
}

}  // namespace foretrain::cli
