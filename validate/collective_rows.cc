#include "validate/collective_rows.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "validate/collective_hardware.h"

namespace foretrain {
namespace {

struct OpName {
  std::string_view name;
  CollectiveOp op;
};
constexpr std::array kOpNames = {OpName{"all_reduce", CollectiveOp::all_reduce},
                                 OpName{"all_gather", CollectiveOp::all_gather},
                                 OpName{"reduce_scatter", CollectiveOp::reduce_scatter},
                                 OpName{"alltoall", CollectiveOp::all_to_all},
                                 OpName{"all_to_all", CollectiveOp::all_to_all},
                                 OpName{"broadcast", CollectiveOp::broadcast},
                                 OpName{"sendrecv", CollectiveOp::send_recv},
                                 OpName{"send_recv", CollectiveOp::send_recv}};

std::optional<CollectiveOp> op_named(const std::string& name) {
  for (const OpName& known : kOpNames)
    if (known.name == to_lower(name)) return known.op;
  return std::nullopt;
}

std::string text_or_empty(const SpecNode& run, std::string_view key) {
  const auto value = run.optional(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

/// "Ring" -> ring. Unknown words (CollNet, PAT) force nothing.
template <class Enum, std::size_t N>
std::optional<Enum> forced(const SpecNode& run, std::string_view key, const std::array<std::string_view, N>& names) {
  const std::string text = to_lower(text_or_empty(run, key));
  for (std::size_t i = 0; i + 1 < N; ++i)  // the last is "none"
    if (!text.empty() && text == names[i]) return static_cast<Enum>(i);
  return std::nullopt;
}

std::string reason_to_refuse(const SpecNode& run, const std::string& id) {
  if (id.size() > 3 && id.compare(id.size() - 3, 3, "_ip") == 0)
    return "in-place columns of a run that stands beside it";
  if (text_or_empty(run, "confidence") == "low") return "its source marks it as degraded or poorly identified";
  return {};
}

void read_group(const SpecNode& run, const Catalogue& catalogue, CollectiveRun& out) {
  const SpecNode hardware = run.required("hardware");
  const std::int64_t ranks = run.required("n_ranks").as_int({1, 10'000'000});
  const std::int64_t per_node = hardware.required("gpus_per_node").as_int({1, 100'000});
  const std::int64_t nodes = hardware.required("nodes").as_int({1, 1'000'000});
  out.group = {.ranks = ranks, .ranks_per_node = per_node, .groups_sharing_nics = 1};
  if (ranks != per_node * nodes)
    out.refusal = fmt::format("{} ranks are not {} nodes of {}", ranks, nodes, per_node);
  else if (ranks == 1)
    out.refusal = "one rank has nothing to send";
  if (!out.refusal.empty()) return;
  try {
    (void)catalogue.gpu(hardware.required("gpu").as_string(), "gpu");
  } catch (const SpecError& error) {
    out.refusal = error.what();
    return;
  }
  out.cluster = cluster_of_run(hardware, catalogue);
  if (const auto version = parse_nccl_version(text_or_empty(run, "nccl_version"))) out.cluster.nccl.version = *version;
}

CollectiveRun read_run(const SpecNode& run, const Catalogue& catalogue) {
  CollectiveRun out;
  out.id = run.required("id").as_string();
  out.refusal = reason_to_refuse(run, out.id);
  const std::string op = run.required("op").as_string();
  if (const auto known = op_named(op))
    out.op = *known;
  else if (out.refusal.empty())
    out.refusal = "operation \"" + op + "\" is not modelled";
  if (out.refusal.empty()) read_group(run, catalogue, out);
  out.choice.algorithm = forced<NcclAlgorithm>(run, "algo_forced", kAlgorithmNames);
  out.choice.protocol = forced<NcclProtocol>(run, "proto_forced", kProtocolNames);
  for (const SpecNode& row : run.required("rows").items())
    out.rows.push_back(
        {row.required("bytes").as_real({0, 1e15}) * bytes, row.required("time_us").as_real({0, 1e12}) * microseconds});
  return out;
}

}  // namespace

bool is_collective_file(const SpecNode& root) {
  if (!root.is_array() || root.size() == 0) return false;
  const SpecNode first = root.items().front();
  return first.is_object() && first.has("n_ranks") && first.has("rows");
}

std::vector<CollectiveRun> read_collective_runs(const SpecNode& root, const Catalogue& catalogue) {
  if (!root.is_array()) root.fail_expected("an array of collective runs");
  std::vector<CollectiveRun> runs;
  for (const SpecNode& run : root.items()) runs.push_back(read_run(run, catalogue));
  return runs;
}

std::vector<ComparisonRow> medians_of_hosts(const std::vector<CollectiveRun>& runs, const HostMedians& of) {
  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
  };
  std::vector<ComparisonRow> rows;
  for (Bytes size = of.from; size <= of.to; size = 2 * size) {
    std::vector<double> measured, predicted;
    for (const CollectiveRun& run : runs) {
      const bool forced = run.choice.algorithm || run.choice.protocol;
      if (!run.refusal.empty() || forced || run.op != of.op || run.cluster.gpu.name != of.gpu) continue;
      if (run.group.ranks != of.ranks || run.group.ranks_per_node != of.ranks) continue;
      for (const CollectiveRow& row : run.rows) {
        if (row.size != size || !(row.time > Seconds{})) continue;
        measured.push_back(row.time / seconds);
        predicted.push_back(collective_time(run.op, row.size, run.group, run.cluster).time / seconds);
      }
    }
    if (measured.empty()) continue;
    rows.push_back({.id = fmt::format("{:.0f} B", size / bytes),
                    .quantity = "collective_seconds",
                    .groups = {},
                    .predicted = median(predicted),
                    .measured = median(measured)});
  }
  return rows;
}

Comparison compare_collectives(const std::vector<CollectiveRun>& runs, const Calibration* calibration) {
  Comparison comparison;
  for (const CollectiveRun& run : runs) {
    if (!run.refusal.empty()) {
      comparison.refused.push_back({run.id, run.refusal});
      continue;
    }
    const std::int64_t nodes = ceil_div(run.group.ranks, run.group.ranks_per_node);
    const std::string where = nodes == 1 ? "one node" : nodes == 2 ? "two nodes" : "more than two nodes";
    for (const CollectiveRow& row : run.rows) {
      const std::string id = fmt::format("{} {:.0f} B", run.id, row.size / bytes);
      if (!(row.size > Bytes{}) || !(row.time > Seconds{})) {
        comparison.refused.push_back({id, "no bytes or no time"});
        continue;
      }
      const CalibratedCollectiveTime predicted =
          collective_time(run.op, row.size, run.group, run.cluster, calibration, run.choice);
      std::vector<std::string> groups = {
          "gpu: " + run.cluster.gpu.name,
          "operation: " + std::string(kCollectiveNames[static_cast<std::size_t>(run.op)]),
          row.size < 1 * MiB ? "size: under 1 MiB" : "size: 1 MiB and more", "nodes: " + where};
      if (calibration != nullptr) groups.push_back(calibration_group(predicted.use));
      comparison.rows.push_back({.id = id,
                                 .quantity = "collective_seconds",
                                 .groups = std::move(groups),
                                 .predicted = predicted.time.time / seconds,
                                 .measured = row.time / seconds});
    }
  }
  return comparison;
}

}  // namespace foretrain
