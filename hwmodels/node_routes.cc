#include "hwmodels/node_routes.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/check.h"

namespace foretrain {
namespace {

/// Payload share of a PCIe link's raw rate: 256 bytes of a packet's 280, the rest is framing, header and checksum (PCI
/// Express Base Specification 3.0, 2.2 and 3.6: 4 + 16 + 4 bytes). More than NCCL counts on (12 of 15.75), which is
/// what a copy reaches; the shares measured at NICs (NetworkSpec::efficiency) are of links that this leaves free.
constexpr double kPciePayload = 256.0 / 280;

constexpr std::int64_t kRingSearchSteps = 100'000;

using Gpus = std::vector<std::int64_t>;

std::int32_t gpu_part(const NodeMap& map, std::int64_t gpu) { return map.gpus[static_cast<std::size_t>(gpu)]; }
std::int32_t nic_part(const NodeMap& map, std::int32_t nic) { return map.nics[static_cast<std::size_t>(nic)]; }

/// The groups of `ranks` GPUs, `stride` apart, that fit into the node side by side.
std::vector<Gpus> groups_of(std::int64_t gpus, std::int64_t ranks, std::int64_t stride) {
  std::vector<Gpus> groups;
  for (std::int64_t block = 0; block + (ranks - 1) * stride < gpus; block += ranks * stride)
    for (std::int64_t first = block; first < block + stride && first + (ranks - 1) * stride < gpus; ++first) {
      Gpus group;
      for (std::int64_t k = 0; k < ranks; ++k) group.push_back(first + k * stride);
      groups.push_back(std::move(group));
    }
  return groups;
}

/// NICs that the group uses, each with the group's GPUs that feed it.
std::map<std::int32_t, Gpus> nics_of(const NodeMap& map, const Gpus& group) {
  std::map<std::int32_t, Gpus> used;
  const auto way = [&](std::int64_t gpu, std::int32_t nic) {
    return distance(map, gpu_part(map, gpu), nic_part(map, nic));
  };
  NodeDistance least = NodeDistance::sys;
  for (const std::int64_t gpu : group)
    for (const std::int32_t nic : nearest_nics(map, gpu)) least = std::min(least, way(gpu, nic));
  for (const std::int64_t gpu : group)
    for (const std::int32_t nic : nearest_nics(map, gpu))
      if (way(gpu, nic) < NodeDistance::sys || least == NodeDistance::sys) used[nic];
  for (auto& [nic, feeders] : used) {
    NodeDistance nearest = NodeDistance::sys;
    for (const std::int64_t gpu : group) nearest = std::min(nearest, way(gpu, nic));
    for (const std::int64_t gpu : group)
      if (way(gpu, nic) == nearest) feeders.push_back(gpu);
  }
  return used;
}

/// A link of the node in one direction: from part to part; to itself: a NIC's port.
using Hop = std::pair<std::int32_t, std::int32_t>;

BytesPerSecond capacity(const NodeMap& map, double efficiency, const Hop& hop) {
  const auto& [from, to] = hop;
  const NodePart &a = map.parts[static_cast<std::size_t>(from)], &b = map.parts[static_cast<std::size_t>(to)];
  if (from == to) return efficiency * a.rate;
  if (a.parent < 0 && b.parent < 0) return map.socket_link;
  return kPciePayload * (a.parent == to ? a.link : b.link);
}

/// Adds to the load of each link what a group that sends 1 puts on it.
void add_load(const NodeMap& map, const std::map<std::int32_t, Gpus>& nics, std::map<Hop, double>& load) {
  for (const auto& [nic, feeders] : nics) {
    const double part = 1 / static_cast<double>(nics.size());
    load[{nic_part(map, nic), nic_part(map, nic)}] += part;
    for (const std::int64_t gpu : feeders) {
      const std::vector<std::int32_t> way = way_between(map, gpu_part(map, gpu), nic_part(map, nic));
      for (std::size_t i = 0; i + 1 < way.size(); ++i)
        load[{way[i], way[i + 1]}] += part / static_cast<double>(feeders.size());
    }
  }
}

BytesPerSecond rate_under(const NodeMap& map, double efficiency, const std::map<Hop, double>& load) {
  BytesPerSecond rate = std::numeric_limits<double>::max() * GB_per_s;
  for (const auto& [hop, share] : load) rate = min(rate, capacity(map, efficiency, hop) / share);
  return load.empty() ? BytesPerSecond{} : rate;
}

/// Packs cycles through all GPUs of a group into their NVLinks, depth first.
class RingSearch {
 public:
  RingSearch(const NodeMap& map, const Gpus& gpus) : n_(gpus.size()), free_(n_ * n_), used_(n_) {
    most_ = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < n_; ++i) {
      std::int64_t links = 0;
      for (std::size_t j = 0; j < n_; ++j)
        links += free_[i * n_ + j] =
            map.nvlinks[static_cast<std::size_t>(gpus[i]) * map.gpus.size() + static_cast<std::size_t>(gpus[j])];
      most_ = std::min(most_, links / 2);
    }
  }
  /// The most cycles found.
  std::int64_t cycles() {
    used_[0] = true;
    go_on(0, 1, 0);
    return best_;
  }

 private:
  void go_on(std::size_t at, std::size_t visited, std::int64_t closed) {
    if (best_ >= most_ || ++steps_ > kRingSearchSteps) return;
    if (visited == n_) {
      if (free_[at * n_] <= 0) return;
      take(at, 0, 1);
      best_ = std::max(best_, closed + 1);
      std::vector<bool> fresh(n_);
      fresh[0] = true;
      used_.swap(fresh);
      go_on(0, 1, closed + 1);
      used_.swap(fresh);
      take(at, 0, -1);
      return;
    }
    for (std::int32_t links = 64; links > 0; --links)  // widest pairs first: they have links to spare
      for (std::size_t next = 0; next < n_; ++next) {
        if (used_[next] || std::min(free_[at * n_ + next], 64) != links) continue;
        used_[next] = true;
        take(at, next, 1);
        go_on(next, visited + 1, closed);
        take(at, next, -1);
        used_[next] = false;
      }
  }
  void take(std::size_t a, std::size_t b, std::int32_t links) {
    free_[a * n_ + b] -= links;
    free_[b * n_ + a] -= links;
  }

  std::size_t n_;
  std::vector<std::int32_t> free_;  // [n, n] links not yet in a cycle
  std::vector<bool> used_;
  std::int64_t most_ = 0, best_ = 0, steps_ = 0;
};

}  // namespace

double nvlink_rings(const NodeMap& map, const std::vector<std::int64_t>& gpus) {
  const std::size_t n = map.gpus.size();
  const auto links = [&](std::int64_t a, std::int64_t b) {
    return map.nvlinks[static_cast<std::size_t>(a) * n + static_cast<std::size_t>(b)];
  };
  if (gpus.size() < 2) return 0;
  bool equal = true;
  for (const std::int64_t a : gpus)
    for (const std::int64_t b : gpus) equal = equal && (a == b || links(a, b) == links(gpus[0], gpus[1]));
  // n (n-1) links of a full mesh, one direction each, make n-1 rings of n.
  if (equal) return static_cast<double>(links(gpus[0], gpus[1])) * static_cast<double>(gpus.size() - 1);
  return 2 * static_cast<double>(RingSearch(map, gpus).cycles());
}

GroupRoutes group_routes(const NodeMap& map, double efficiency, std::int64_t ranks, std::int64_t stride) {
  const std::vector<Gpus> groups = groups_of(gpu_count(map), ranks, stride);
  FORETRAIN_CHECK(!groups.empty());
  GroupRoutes routes;
  routes.groups = std::ssize(groups);
  routes.nic_distance = NodeDistance::pix;
  std::map<Hop, double> together;
  bool first = true;
  for (const Gpus& group : groups) {
    const std::map<std::int32_t, Gpus> nics = nics_of(map, group);
    std::map<Hop, double> alone;
    add_load(map, nics, alone);
    add_load(map, nics, together);
    const BytesPerSecond own = rate_under(map, efficiency, alone);
    const double rings = nvlink_rings(map, group);
    NodeDistance nearest = NodeDistance::sys;
    for (const auto& [nic, feeders] : nics)
      nearest = std::min(nearest, distance(map, gpu_part(map, feeders.front()), nic_part(map, nic)));
    bool peers = false;
    for (const std::int64_t a : group)
      for (const std::int64_t b : group) {
        const NodeDistance d = distance(map, gpu_part(map, a), gpu_part(map, b));
        peers = peers || (a != b && d <= NodeDistance::pxb);
        routes.one_socket = routes.one_socket && d < NodeDistance::sys;
      }
    routes.peer_access = routes.peer_access && peers;
    routes.nic_distance = std::max(routes.nic_distance, nearest);
    if (first || own < routes.own) {
      routes.own = own;
      routes.nics = static_cast<double>(nics.size());
    }
    routes.nvlink_rings = first ? rings : std::min(routes.nvlink_rings, rings);
    first = false;
  }
  routes.shared = rate_under(map, efficiency, together);
  return routes;
}

std::vector<GroupRoutes> all_group_routes(const NodeMap& map, double efficiency) {
  const std::int64_t n = gpu_count(map);
  std::vector<GroupRoutes> all(static_cast<std::size_t>(n * n));
  for (std::int64_t ranks = 1; ranks <= n; ++ranks)
    for (std::int64_t stride = 1; stride <= n && (ranks - 1) * stride < n && (ranks > 1 || stride == 1); ++stride)
      all[static_cast<std::size_t>((ranks - 1) * n + stride - 1)] = group_routes(map, efficiency, ranks, stride);
  return all;
}

const GroupRoutes& routes_of(const NodeMap& map, std::int64_t ranks, std::int64_t stride) {
  const std::int64_t n = gpu_count(map);
  FORETRAIN_CHECK(!map.routes.empty() && ranks >= 1);
  ranks = std::min(ranks, n);
  if (ranks == 1 || stride < 1 || (ranks - 1) * stride >= n) stride = 1;
  return map.routes[static_cast<std::size_t>((ranks - 1) * n + stride - 1)];
}

}  // namespace foretrain
