#include "planner/group_health.h"

#include <algorithm>

namespace foretrain {
namespace {

/// Racks are handed out in equal parts: the graph's domains are those that the job has.
ClusterSpec as_used(ClusterSpec cluster) {
  cluster.nvlink_domain = domain_in_use(cluster);
  return cluster;
}

ClusterSpec without_faults(ClusterSpec cluster) {
  cluster.faults.clear();
  return cluster;
}

/// Ports that traffic between nodes loads: a link between NIC and leaf; all up-links of a leaf together, and all of its
/// down-links, as what leaves a leaf spreads over the spines.
std::vector<std::int32_t> numbered_ports(const sim::Topology& t, std::int32_t& count) {
  std::vector<std::int32_t> port(t.links().size(), -1);
  std::vector<std::int32_t> up(t.vertices().size(), -1), down = up;
  const auto kind = [&](std::int32_t v) { return t.vertices()[static_cast<std::size_t>(v)].kind; };
  for (std::size_t i = 0; i < port.size(); ++i) {
    const sim::TopologyLink& link = t.links()[i];
    const sim::VertexKind from = kind(link.from), to = kind(link.to);
    std::int32_t* of_leaf = nullptr;
    if (from == sim::VertexKind::leaf && to == sim::VertexKind::spine)
      of_leaf = &up[static_cast<std::size_t>(link.from)];
    if (from == sim::VertexKind::spine && to == sim::VertexKind::leaf)
      of_leaf = &down[static_cast<std::size_t>(link.to)];
    if (of_leaf != nullptr) {
      if (*of_leaf < 0) *of_leaf = count++;
      port[i] = *of_leaf;
    } else if (from == sim::VertexKind::nic || to == sim::VertexKind::nic) {
      if (from == sim::VertexKind::leaf || to == sim::VertexKind::leaf) port[i] = count++;
    }
  }
  return port;
}

}  // namespace

GroupHealth::GroupHealth(const ClusterSpec& cluster, bool with_ports)
    : cluster_(as_used(cluster)), health_(cluster_), domain_(cluster_.nvlink_domain) {
  if (!(health_.network_is_faulty() || with_ports) || node_count(cluster_) <= 1) return;
  nics_of_gpu_ =
      static_cast<std::int32_t>(std::max<std::int64_t>(1, cluster_.node.nics_per_node / cluster_.node.gpus_per_node));
  healthy_ = std::make_unique<sim::Topology>(without_faults(cluster_));
  faulty_ = std::make_unique<sim::Topology>(cluster_);
  std::int32_t count = 0;
  port_of_link_ = numbered_ports(*healthy_, count);
  gpu_rate_ = cluster_.network.efficiency * network_bandwidth_per_gpu(cluster_);
  healthy_capacity_.assign(static_cast<std::size_t>(count), 0);
  capacity_ = healthy_capacity_;
  for (std::size_t i = 0; i < port_of_link_.size(); ++i) {
    if (port_of_link_[i] < 0) continue;
    const auto port = static_cast<std::size_t>(port_of_link_[i]);
    healthy_capacity_[port] += healthy_->links()[i].capacity / gpu_rate_;
    capacity_[port] += faulty_->links()[i].capacity / gpu_rate_;
  }
  find_nodes_near_faults();
}

void GroupHealth::find_nodes_near_faults() {
  near_.assign(static_cast<std::size_t>(node_count(cluster_)), 0);
  for (const Fault& fault : cluster_.faults) {
    for (const std::int64_t host : fault.hosts) {
      std::int64_t first = 0, last = node_count(cluster_) - 1;  // a spine carries what any node sends
      if (fault.part == FaultyPart::gpu || fault.part == FaultyPart::scale_up) continue;
      if (fault.part == FaultyPart::nic) first = last = host;
      if (fault.part == FaultyPart::leaf_up) {
        const std::int64_t leaves = cluster_.node.rail_optimised ? cluster_.node.nics_per_node : 1;
        first = host / leaves * cluster_.network.nodes_per_leaf;
        last = std::min(last, first + cluster_.network.nodes_per_leaf - 1);
      }
      for (std::int64_t node = first; node <= last; ++node) near_[static_cast<std::size_t>(node)] = 1;
    }
  }
}

/// The NICs next to the GPU are all dead.
bool GroupHealth::is_cut(std::int64_t gpu) const {
  for (std::int32_t c = 0; c < nics_of_gpu_; ++c)
    if (health_.nic_share(gpu / cluster_.node.gpus_per_node, healthy_->nic_of(gpu, c)) > 0) return false;
  return true;
}

std::vector<GroupHealth::Send> GroupHealth::sends_of(const RankGroup& group, bool healthy) const {
  std::vector<std::vector<std::int64_t>> domains;  // the group's ranks, NVLink domain by domain
  for (std::int64_t i = 0; i < group.ranks; ++i) {
    const std::int64_t gpu = group.first + i * group.stride;
    if (domains.empty() || domains.back().front() / domain_ != gpu / domain_) domains.emplace_back();
    domains.back().push_back(gpu);
  }
  std::vector<Send> sends;
  if (domains.size() <= 1) return sends;
  std::size_t channels = domains.front().size();
  for (const auto& d : domains) channels = std::min(channels, d.size());
  std::vector<std::size_t> alive;
  for (std::size_t k = 0; k < channels; ++k) {
    const auto cut = [&](const std::vector<std::int64_t>& d) { return is_cut(d[k]); };
    if (healthy || std::none_of(domains.begin(), domains.end(), cut)) alive.push_back(k);
  }
  if (alive.empty())
    for (std::size_t k = 0; k < channels; ++k) alive.push_back(k);
  const double amount = static_cast<double>(channels) / static_cast<double>(alive.size());
  const std::size_t hops = group.one_way ? domains.size() - 1 : domains.size();
  for (std::size_t d = 0; d < hops; ++d)
    for (const std::size_t k : alive) sends.push_back({domains[d][k], domains[(d + 1) % domains.size()][k], amount});
  return sends;
}

std::vector<std::int32_t> GroupHealth::ports_of(const Send& send, std::int32_t channel, bool healthy) const {
  std::vector<std::int32_t> ports;
  for (const sim::LinkId link : (healthy ? healthy_ : faulty_)->route(send.from, send.to, {.channel = channel})) {
    const std::int32_t port = port_of_link_[static_cast<std::size_t>(link)];
    if (port >= 0) ports.push_back(port);
  }
  return ports;
}

/// [group] load over capacity at the worst port of its way, all groups sending together.
std::vector<double> GroupHealth::slowness(const std::vector<RankGroup>& groups, bool healthy) const {
  const std::vector<double>& capacity = healthy ? healthy_capacity_ : capacity_;
  std::vector<double> load(capacity.size(), 0);
  std::vector<std::pair<std::size_t, std::int32_t>> crossed;  // group, port
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Send& send : sends_of(groups[g], healthy)) {
      const std::int64_t gpus = cluster_.node.gpus_per_node;
      if (near_[static_cast<std::size_t>(send.from / gpus)] == 0 &&
          near_[static_cast<std::size_t>(send.to / gpus)] == 0)
        continue;
      for (std::int32_t c = 0; c < nics_of_gpu_; ++c) {
        for (const std::int32_t port : ports_of(send, c, healthy)) {
          load[static_cast<std::size_t>(port)] += send.amount / nics_of_gpu_;
          crossed.emplace_back(g, port);
        }
      }
    }
  }
  std::vector<double> worst(groups.size(), 1);
  for (const auto& [g, port] : crossed) {
    const auto p = static_cast<std::size_t>(port);
    worst[g] = std::max(worst[g], load[p] / capacity[p]);
  }
  return worst;
}

std::vector<sim::Link> GroupHealth::ports() const {
  std::vector<sim::Link> ports(capacity_.size());
  for (std::size_t i = 0; i < port_of_link_.size(); ++i) {
    if (port_of_link_[i] < 0) continue;
    const sim::TopologyLink& link = faulty_->links()[i];
    const std::string from = faulty_->name(link.from), to = faulty_->name(link.to);
    sim::Link& port = ports[static_cast<std::size_t>(port_of_link_[i])];
    port.name = from.starts_with("spine") ? "down-links of " + to
                : to.starts_with("spine") ? "up-links of " + from
                                          : from + " to " + to;
    port.capacity = capacity_[static_cast<std::size_t>(port_of_link_[i])] * gpu_rate_;
  }
  return ports;
}

std::vector<sim::LinkUse> GroupHealth::uses(const RankGroup& group) const {
  std::vector<sim::LinkUse> uses;
  if (faulty_ == nullptr) return uses;
  for (const Send& send : sends_of(group, false))
    for (std::int32_t c = 0; c < nics_of_gpu_; ++c)
      for (const std::int32_t port : ports_of(send, c, false))
        uses.push_back({.link = port, .weight = send.amount / nics_of_gpu_});
  std::sort(uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.link < b.link; });
  std::size_t kept = 0;  // one use of each port
  for (std::size_t i = 0; i < uses.size(); ++i) {
    if (i > 0 && uses[kept - 1].link == uses[i].link)
      uses[kept - 1].weight += uses[i].weight;
    else
      uses[kept++] = uses[i];
  }
  uses.resize(kept);
  return uses;
}

double GroupHealth::scale_up_share(const RankGroup& group) const {
  double share = 1;
  bool inside = false;  // some two ranks share a domain
  for (std::int64_t i = 0; i < group.ranks; ++i) {
    const std::int64_t gpu = group.first + i * group.stride;
    share = std::min(share, health_.scale_up_share(gpu));
    inside = inside || (i > 0 && (gpu - group.stride) / domain_ == gpu / domain_);
  }
  return inside ? share : 1;
}

std::vector<LinkShares> GroupHealth::shares(const std::vector<RankGroup>& groups) const {
  std::vector<LinkShares> found(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (groups[g].ranks > 1) found[g].scale_up = scale_up_share(groups[g]);
  if (!health_.network_is_faulty() || faulty_ == nullptr) return found;
  const std::vector<double> before = slowness(groups, true), after = slowness(groups, false);
  // Loads are sums of parts: what differs by rounding alone is the same.
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (after[g] > before[g] * (1 + 1e-9)) found[g].network = before[g] / after[g];
  return found;
}

}  // namespace foretrain
