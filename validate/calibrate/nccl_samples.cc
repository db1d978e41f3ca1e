#include "validate/calibrate/nccl_samples.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "hwmodels/nccl_environment.h"
#include "validate/calibrate/device_name.h"

namespace foretrain {
namespace {

/// The GPU of a table, by option or by its lines. Null, with the reason, where none is known or several are mixed.
const GpuSpec* gpu_of(const NcclTable& table, const MeasurementOptions& options, const Catalogue& catalogue,
                      std::string& why) {
  if (table.ranks.empty()) return gpu_to_fit("", options.gpu, catalogue, why);
  const std::string& name = table.ranks.front().gpu;
  for (const NcclRank& rank : table.ranks) {
    if (rank.gpu == name) continue;
    why = fmt::format("GPUs of different kinds ({} and {})", name, rank.gpu);
    return nullptr;
  }
  return gpu_to_fit(name, options.gpu, catalogue, why);
}

/// Ranks on each host, where every rank has a line; empty otherwise.
std::map<std::string, std::int64_t> ranks_by_host(const NcclTable& table, std::int64_t ranks) {
  std::map<std::string, std::int64_t> hosts;
  if (static_cast<std::int64_t>(table.ranks.size()) != ranks) return hosts;
  for (const NcclRank& rank : table.ranks) ++hosts[rank.host];
  return hosts;
}

bool shares_gpus(const NcclTable& table) {
  std::set<std::pair<std::string, std::int64_t>> seen;
  for (const NcclRank& rank : table.ranks)
    if (!seen.insert({rank.host, rank.device}).second) return true;
  return false;
}

/// Where the ranks lie. Ranks of one rack-wide NVLink domain count as one node.
std::optional<GroupLayout> layout_of(const NcclTable& table, std::int64_t ranks, const ClusterSpec& cluster,
                                     const MeasurementOptions& options, std::string& why) {
  GroupLayout group{.ranks = ranks, .ranks_per_node = 1, .groups_sharing_nics = 1};
  const auto hosts = ranks_by_host(table, ranks);
  const std::int64_t domain = cluster.nvlink_domain;
  if (options.ranks_per_node > 0) {
    group.ranks_per_node = options.ranks_per_node;
  } else if (!hosts.empty()) {
    const std::int64_t each = hosts.begin()->second;
    for (const auto& host : hosts) {
      if (host.second == each) continue;
      why = "nodes with different numbers of ranks";
      return std::nullopt;
    }
    group.ranks_per_node = domain > cluster.node.gpus_per_node ? std::min(ranks, domain) : each;
  } else {
    group.ranks_per_node = std::min(ranks, domain);
  }
  if (ranks % group.ranks_per_node != 0) {
    why = fmt::format("{} ranks do not fill nodes of {}", ranks, group.ranks_per_node);
    return std::nullopt;
  }
  return group;
}

std::int64_t ranks_of(const NcclTable& table, const MeasurementOptions& options) {
  return options.ranks > 0 ? options.ranks : rank_count(table);
}

void add_table(const NcclTable& table, const MeasurementOptions& options, const Catalogue& catalogue,
               Measurements& out) {
  const auto rows = static_cast<std::int64_t>(table.rows.size());
  out.source.rows += rows;
  std::string why;
  const auto placed = place_table(table, options, catalogue, why);
  if (!placed) return out.leave_out(why, rows);
  if (out.source.device.empty() && !table.ranks.empty()) out.source.device = table.ranks.front().gpu;
  for (const NcclRow& row : table.rows) {
    const auto& timing = row.out_of_place ? row.out_of_place : row.in_place;
    if (!timing || row.bytes <= 0 || !(timing->time_us > 0)) {
      out.leave_out("no bytes or no time");
    } else if (timing->wrong && *timing->wrong > 0) {
      out.leave_out("its results were wrong");
    } else {
      out.collectives.push_back({.op = placed->op,
                                 .size = static_cast<double>(row.bytes) * bytes,
                                 .time = timing->time_us * microseconds,
                                 .group = placed->group,
                                 .cluster = placed->cluster,
                                 .choice = {},
                                 .measured_in = MeasuredIn::isolated});
    }
  }
}

}  // namespace

std::optional<PlacedTable> place_table(const NcclTable& table, const MeasurementOptions& options,
                                       const Catalogue& catalogue, std::string& why) {
  const auto refuse = [&](const char* reason) {
    why = reason;
    return std::nullopt;
  };
  const GpuSpec* gpu = gpu_of(table, options, catalogue, why);
  if (gpu == nullptr) return std::nullopt;
  const std::int64_t ranks = ranks_of(table, options);
  if (ranks < 1) return refuse("the log does not list its ranks; --ranks counts them");
  if (ranks == 1) return refuse("one rank has nothing to send");
  if (shares_gpus(table)) return refuse("several ranks shared one GPU");
  const auto op = options.op ? options.op : operation_of(table, ranks, why);
  if (!op) return std::nullopt;
  ClusterSpec cluster = options.cluster ? *options.cluster : catalogue.node(gpu->usual_node, gpu->name);
  cluster.gpu = *gpu;
  cluster.gpus = ranks;
  if (const auto version = parse_nccl_version(table.nccl)) cluster.nccl.version = *version;
  if (!table.algorithm.empty() || !table.protocol.empty()) {
    try {
      cluster.nccl.environment =
          parse_nccl_environment(table.algorithm, table.protocol, cluster.nccl.version, "NCCL_ALGO", "NCCL_PROTO");
    } catch (const SpecError& error) {
      why = error.what();
      return std::nullopt;
    }
  }
  const auto group = layout_of(table, ranks, cluster, options, why);
  if (!group) return std::nullopt;
  return PlacedTable{*op, *group, std::make_shared<const ClusterSpec>(std::move(cluster))};
}

bool is_nccl_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream in(path, std::ios::binary);
  std::string head(1 << 16, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, in.gcount())));
  const std::size_t first = head.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return false;
  if (head[first] == '{')
    return head.find("\"nccl_version\"") != std::string::npos && head.find("\"config\"") != std::string::npos;
  return head[first] == '#' && looks_like_nccl_text(head);
}

Comparison compare_nccl_file(const std::string& path, const Catalogue& catalogue, const Calibration* calibration) {
  Comparison comparison;
  const NcclLog log = read_nccl_file(path);
  for (const NcclTable& table : log.tables) {
    Measurements samples;
    add_table(table, {}, catalogue, samples);
    for (const CollectiveSample& s : samples.collectives) {
      const auto predicted = collective_time(s.op, s.size, s.group, *s.cluster, calibration, s.choice);
      std::vector<std::string> groups = {"gpu: " + s.cluster->gpu.name,
                                         "operation: " + std::string(kCollectiveNames[static_cast<std::size_t>(s.op)]),
                                         s.size < 1 * MiB ? "size: under 1 MiB" : "size: 1 MiB and more"};
      if (calibration != nullptr) groups.push_back(calibration_group(predicted.use));
      comparison.rows.push_back({.id = fmt::format("{} {:.0f} B", path, s.size / bytes),
                                 .quantity = "collective_seconds",
                                 .groups = std::move(groups),
                                 .predicted = predicted.time.time / seconds,
                                 .measured = s.time / seconds});
    }
    for (const LeftOutRows& left : samples.left_out)
      for (std::int64_t i = 0; i < left.rows; ++i) comparison.refused.push_back({path, left.why});
  }
  return comparison;
}

void add_nccl_samples(const NcclLog& log, const MeasurementOptions& options, const Catalogue& catalogue,
                      Measurements& out) {
  out.warnings.insert(out.warnings.end(), log.warnings.begin(), log.warnings.end());
  out.source.date = log.date;
  for (const NcclTable& table : log.tables) add_table(table, options, catalogue, out);
}

}  // namespace foretrain
