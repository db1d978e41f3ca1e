// `cluster.faults`: what is slow or dead.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"
#include "hwmodels/catalogue_reader.h"
#include "hwmodels/health.h"

namespace foretrain {
namespace {

/// Below this share a part counts as dead, and is written as 0.
constexpr double kLeastShare = 1e-3;

/// The numbers of "3", "0-3", "1,4" or "*"; each below `count`. `what` they count: "node".
std::vector<std::int64_t> read_numbers(const SpecNode& at, std::string_view text, std::string_view what,
                                       std::int64_t count) {
  const auto number = [&](std::string_view digits) {
    std::int64_t n = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (error != std::errc{} || end != digits.data() + digits.size() || n < 0)
      at.fail(fmt::format("expected {0}N, {0}N-M, {0}N,M or {0}*; got {1}", what,
                          in_quotes(std::string(what) + std::string(text))));
    if (n >= count) at.fail(fmt::format("there is no {} {}: they are numbered 0 to {}", what, n, count - 1));
    return n;
  };
  std::vector<std::int64_t> numbers;
  if (text == "*") {
    for (std::int64_t i = 0; i < count; ++i) numbers.push_back(i);
    return numbers;
  }
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    const std::size_t dash = one.find('-');
    const std::int64_t first = number(one.substr(0, dash));
    const std::int64_t last = dash == std::string_view::npos ? first : number(one.substr(dash + 1));
    if (last < first) at.fail(fmt::format("expected a range that rises; got {}", in_quotes(one)));
    for (std::int64_t i = first; i <= last; ++i) numbers.push_back(i);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

bool cut_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

double share_of_live(const SpecNode& value, std::string_view what) {
  const double share = value.as_real({0, 1});
  if (share < kLeastShare)
    value.fail(
        fmt::format("expected a share of the healthy speed, {} to 1: no job runs over a dead {}; leave its node out",
                    kLeastShare, what));
  return share;
}

double share_or_dead(const SpecNode& value) {
  const double share = value.as_real({0, 1});
  if (share > 0 && share < kLeastShare) value.fail_expected(fmt::format("0 (dead), or {} to 1", kLeastShare));
  return share;
}

class FaultReader {
 public:
  explicit FaultReader(const ClusterSpec& cluster) : cluster_(cluster) {}

  void read(const SpecNode& faults) {
    if (!faults.is_object()) faults.fail_expected("an object such as {\"node3\": {\"gpu5\": 0.8}}");
    for (const std::string& key : faults.keys()) {
      if (faults.required(key).is_null()) continue;
      read_host(faults, key);
    }
  }
  std::vector<Fault> found;

 private:
  void read_host(const SpecNode& faults, const std::string& key) {
    const SpecNode value = faults.required(key);
    std::string_view text = key;
    if (cut_prefix(text, "node")) {
      const std::vector<std::int64_t> nodes = read_numbers(value, text, "node", node_count(cluster_));
      if (!value.is_object()) value.fail_expected("an object such as {\"gpu5\": 0.8}");
      for (const std::string& unit : value.keys()) read_unit(key, nodes, unit, value.required(unit));
    } else if (cut_prefix(text, "leaf")) {
      need(value, "leaf", leaf_count(cluster_), "one node needs none");
      const std::vector<std::int64_t> leaves = read_numbers(value, text, "leaf", leaf_count(cluster_));
      value.allow_only({"up"});
      need(value, "leaf with up-links", spine_count(cluster_), "all NICs are on one leaf");
      const SpecNode up = value.required("up");
      found.push_back({key + ".up", FaultyPart::leaf_up, leaves, {}, share_or_dead(up)});
    } else if (cut_prefix(text, "spine")) {
      need(value, "spine", spine_count(cluster_), "all NICs are on one leaf");
      const std::vector<std::int64_t> spines = read_numbers(value, text, "spine", spine_count(cluster_));
      found.push_back({key, FaultyPart::spine, spines, {}, share_or_dead(value)});
    } else {
      faults.fail(fmt::format("unknown part {}; expected nodeN, leafN or spineN", in_quotes(key)));
    }
  }

  void read_unit(const std::string& host, const std::vector<std::int64_t>& nodes, const std::string& unit,
                 const SpecNode& value) {
    if (value.is_null()) return;
    const NodeSpec& node = cluster_.node;
    const bool pcie = is_pcie(node.fabric);
    const std::string_view link = pcie ? "pcie" : "nvlink";
    const std::string name = host + "." + unit;
    std::string_view text = unit;
    if (cut_prefix(text, "gpu")) {
      found.push_back({name, FaultyPart::gpu, nodes, read_numbers(value, text, "gpu", node.gpus_per_node),
                       share_of_live(value, "GPU")});
    } else if (cut_prefix(text, link)) {
      found.push_back({name, FaultyPart::scale_up, nodes, read_numbers(value, text, link, node.gpus_per_node),
                       share_of_live(value, "link")});
    } else if (cut_prefix(text, "nic")) {
      need(value, "nic", node.nics_per_node, "the node has none");
      found.push_back(
          {name, FaultyPart::nic, nodes, read_numbers(value, text, "nic", node.nics_per_node), share_or_dead(value)});
    } else {
      value.fail(fmt::format("unknown part {} of a node; expected gpuN, nicN or {}N", in_quotes(unit), link));
    }
  }

  static void need(const SpecNode& at, std::string_view what, std::int64_t count, std::string_view why) {
    if (count < 1) at.fail(fmt::format("the cluster has no {}: {}", what, why));
  }

  const ClusterSpec& cluster_;
};

/// A node without a working NIC is cut off.
void check_nodes_reach_others(const SpecNode& faults, const ClusterSpec& cluster) {
  if (node_count(cluster) <= 1) return;
  const ClusterHealth health(cluster);
  for (std::int64_t node = 0; node < node_count(cluster); ++node) {
    bool alive = false;
    for (std::int64_t i = 0; i < cluster.node.nics_per_node; ++i) alive = alive || health.nic_share(node, i) > 0;
    if (!alive)
      faults.fail(fmt::format("node {} cannot reach the other nodes: each of its {} NICs is dead", node,
                              cluster.node.nics_per_node));
  }
}

}  // namespace

std::vector<Fault> read_faults(const SpecNode& faults, const ClusterSpec& cluster) {
  FaultReader reader(cluster);
  reader.read(faults);
  ClusterSpec faulty = cluster;
  faulty.faults = std::move(reader.found);
  check_nodes_reach_others(faults, faulty);
  return faulty.faults;
}

}  // namespace foretrain
