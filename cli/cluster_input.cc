#include "cli/cluster_input.h"

#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "base/spec_node.h"
#include "base/text.h"

namespace foretrain::cli {
namespace {

/// The value of a job's `cluster` that the text means.
SpecNode cluster_value(const std::string& text) {
  const std::string where = "--cluster";
  if (!text.empty() && text.front() == '{') return SpecNode::parse(text, where);
  std::error_code unreadable;  // a loop of links counts as a file, which reading then refuses
  const bool file = std::filesystem::exists(text, unreadable) || unreadable;
  if (file && text.ends_with(".json")) return SpecNode::read_file(text);
  const bool named_like_file = text.find('/') != std::string::npos || text.ends_with(".xml") || text.ends_with(".txt");
  if (named_like_file || (file && std::filesystem::is_regular_file(text, unreadable)))
    return SpecNode::parse("{\"topology\": " + in_quotes(text) + "}", where);
  return SpecNode::parse(in_quotes(text), where);
}

}  // namespace

ClusterSpec read_cluster(const Catalogue& catalogue, const std::string& text, std::int64_t ranks) {
  SpecNode value = cluster_value(text);
  const bool json = !text.empty() && text.front() == '{';
  const bool topology = !json && value.is_object() && value.has("topology") && value.file() == "--cluster";
  if (topology && ranks > 0) value = with_override(value, "gpus", fmt::format("{}", ranks));
  ClusterSpec cluster = catalogue.cluster(value);
  const bool one_node = cluster.gpus == cluster.node.gpus_per_node && value.is_string();
  if (ranks > cluster.gpus && one_node) cluster.gpus = round_up(ranks, cluster.node.gpus_per_node);
  if (ranks > cluster.gpus)
    throw SpecError("--ranks", fmt::format("{} ranks do not fit on the {} GPUs of the cluster", ranks, cluster.gpus));
  return cluster;
}

}  // namespace foretrain::cli
