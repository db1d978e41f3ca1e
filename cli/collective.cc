/// `foretrain collective`: how long a collective takes, as nccl-tests would print it.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/choices.h"
#include "cli/cluster_input.h"
#include "cli/collective_log.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/collective_time.h"
#include "hwmodels/nccl_environment.h"

namespace foretrain::cli {

void force_choice(CollectiveOp op, const CollectiveOptions& options, ClusterSpec& cluster) {
  const std::size_t place = static_cast<std::size_t>(op);
  const NcclAllowed forced = parse_nccl_environment(options.algorithm, options.protocol, cluster.nccl.version,
                                                    "--algorithm", "--protocol")[place];
  if (forced.algorithms != 0) cluster.nccl.environment[place].algorithms = forced.algorithms;
  if (forced.protocols != 0) cluster.nccl.environment[place].protocols = forced.protocols;
}

namespace {

GroupLayout read_layout(const CollectiveOptions& options, const ClusterSpec& cluster) {
  GroupLayout layout;
  layout.ranks = options.ranks > 0 ? options.ranks : cluster.gpus;
  const std::int64_t domain = std::max(cluster.nvlink_domain, cluster.node.gpus_per_node);
  layout.ranks_per_node = options.ranks_per_node > 0 ? options.ranks_per_node : std::min(layout.ranks, domain);
  layout.groups_sharing_nics = options.groups_sharing_nics;
  if (layout.ranks_per_node > domain)
    throw SpecError("--ranks-per-node", fmt::format("at most {} GPUs share an NVLink domain", domain));
  if (layout.ranks % layout.ranks_per_node != 0)
    throw SpecError("--ranks-per-node", fmt::format("{} ranks do not divide by {}: all nodes hold equally many",
                                                    layout.ranks, layout.ranks_per_node));
  return layout;
}

struct Row {
  Bytes size;
  CollectiveTime predicted;
  BytesPerSecond algorithm_bandwidth, bus_bandwidth;
};

nlohmann::ordered_json to_json(const Row& row) {
  const CollectiveTime& t = row.predicted;
  return {{"bytes", row.size.base()},
          {"seconds", t.time.base()},
          {"algorithm_bandwidth_bytes_per_second", row.algorithm_bandwidth.base()},
          {"bus_bandwidth_bytes_per_second", row.bus_bandwidth.base()},
          {"algorithm", kAlgorithmNames[static_cast<std::size_t>(t.algorithm)]},
          {"protocol", kProtocolNames[static_cast<std::size_t>(t.protocol)]},
          {"latency_seconds", t.latency.base()},
          {"network_bytes_per_gpu", t.network_bytes_per_gpu.base()},
          {"scale_up_bytes_per_gpu", t.scale_up_bytes_per_gpu.base()}};
}

std::string text_of(const std::vector<Row>& rows) {
  TextTable table{{"size", "time", "algbw", "busbw", "algorithm", "protocol", "latency"}, {}, {true, true, true, true}};
  for (const Row& row : rows) {
    const CollectiveTime& t = row.predicted;
    table.rows.push_back({to_text(row.size), to_text(t.time), to_text(row.algorithm_bandwidth),
                          to_text(row.bus_bandwidth),
                          std::string(kAlgorithmNames[static_cast<std::size_t>(t.algorithm)]),
                          std::string(kProtocolNames[static_cast<std::size_t>(t.protocol)]), to_text(t.latency)});
  }
  return to_text(table);
}

}  // namespace

int collective(const CollectiveOptions& options) {
  const auto op = static_cast<CollectiveOp>(choose(options.op, kCollectiveNames, "OP", "collective"));
  const Catalogue catalogue = Catalogue::load();
  if (options.sizes.empty() == options.logs.empty())
    throw SpecError("collective", options.logs.empty()
                                      ? "expected --bytes, sizes to predict, or --log, a file to compare"
                                      : "--bytes and --log exclude each other: a log has its sizes");
  if (!options.logs.empty()) return collective_beside_logs(op, options, catalogue);
  ClusterSpec cluster = read_cluster(catalogue, options.cluster, options.ranks);
  const GroupLayout layout = read_layout(options, cluster);
  force_choice(op, options, cluster);
  std::vector<Row> rows;
  for (const std::string& text : split_at_commas(options.sizes)) {
    const Bytes size = parse_bytes(text, "--bytes");
    if (size.base() < 1) throw SpecError("--bytes", "at least 1 B; got " + in_quotes(text));
    Row row{size, collective_time(op, size, layout, cluster), {}, {}};
    if (row.predicted.time.base() > 0) {
      row.algorithm_bandwidth = size / row.predicted.time;
      row.bus_bandwidth = bus_factor(op, layout.ranks) * row.algorithm_bandwidth;
    }
    rows.push_back(row);
  }
  const std::string_view name = kCollectiveNames[static_cast<std::size_t>(op)];
  if (options.format == Format::text) {
    print(fmt::format("{} on {} GPUs of {}, {} to an NVLink domain\n\n{}", name, layout.ranks, cluster.gpu.name,
                      layout.ranks_per_node, text_of(rows)));
    return kDone;
  }
  nlohmann::ordered_json document = {{"op", name},
                                     {"gpu", cluster.gpu.name},
                                     {"ranks", layout.ranks},
                                     {"ranks_per_node", layout.ranks_per_node},
                                     {"groups_sharing_nics", layout.groups_sharing_nics},
                                     {"rows", nlohmann::ordered_json::array()}};
  for (const Row& row : rows) document["rows"].push_back(to_json(row));
  print(document.dump(2) + "\n");
  return kDone;
}

}  // namespace foretrain::cli
