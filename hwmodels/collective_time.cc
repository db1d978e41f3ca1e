#include "hwmodels/collective_time.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "hwmodels/collective_wall.h"
#include "hwmodels/nccl_tuner.h"

namespace foretrain {
namespace {

// NCCL's choice no longer changes below 1 KiB and above 1 TiB.
constexpr int kFirstOctave = 10, kLastOctave = 40;

struct Candidate {
  NcclAlgorithm algorithm = NcclAlgorithm::none;
  NcclProtocol protocol = NcclProtocol::none;
  NcclCost cost;
};
struct Candidates {
  std::array<Candidate, 2 * kTunedProtocols + kTunedAlgorithms - 2> all;  // rings and trees have all protocols
  std::size_t count = 0;
};

Candidates candidates(const NcclSystem& s, CollectiveOp op, NcclAllowed allowed) {
  Candidates found;
  const auto has = [](std::uint8_t set, std::size_t place) { return set == 0 || (set >> place & 1) != 0; };
  for (std::size_t a = 0; a < kTunedAlgorithms; ++a) {
    if (!has(allowed.algorithms, a)) continue;
    const auto algorithm = static_cast<NcclAlgorithm>(a);
    const bool all_protocols = algorithm == NcclAlgorithm::ring || algorithm == NcclAlgorithm::tree;
    for (std::size_t p = all_protocols ? 0 : kTunedProtocols - 1; p < kTunedProtocols; ++p) {
      if (!has(allowed.protocols, p)) continue;
      const auto protocol = static_cast<NcclProtocol>(p);
      const NcclCost cost = nccl_cost(s, op, algorithm, protocol, allowed.protocols != 0);
      if (cost.possible) found.all[found.count++] = {algorithm, protocol, cost};
    }
  }
  return found;
}

template <class Enum>
std::uint8_t only(Enum e) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(e));
}

/// What was forced, as far as the group can do it.
Candidates possible_candidates(const NcclSystem& s, CollectiveOp op, const CollectiveChoice& choice,
                               NcclAllowed allowed) {
  if (choice.algorithm) allowed.algorithms = only(*choice.algorithm);
  if (choice.protocol) allowed.protocols = only(*choice.protocol);
  Candidates found = candidates(s, op, allowed);
  if (found.count == 0) found = candidates(s, op, {allowed.algorithms, 0});
  if (found.count == 0) found = candidates(s, op, {});
  FORETRAIN_CHECK(found.count > 0);
  return found;
}

std::size_t fastest(const Candidates& found, int octave, Bytes size) {
  std::size_t best = 0;
  Seconds least;
  for (std::size_t i = 0; i < found.count; ++i) {
    const Seconds estimate = nccl_estimate(found.all[i].cost, octave, size);
    if (i == 0 || estimate < least) {
      best = i;
      least = estimate;
    }
  }
  return best;
}

/// Where in this octave, between `begin` and twice it, NCCL's estimate of `next` falls below that of `now`. The trees'
/// correction changes at powers of two, so that estimates are straight lines between.
Bytes crossing(const Candidate& now, const Candidate& next, int octave, Bytes begin) {
  const auto ahead = [&](Bytes size) {
    return nccl_estimate(next.cost, octave, size) - nccl_estimate(now.cost, octave, size);
  };
  const double before = ahead(begin).base(), after = -ahead(2 * begin).base();
  return before + after > 0 ? begin + std::clamp(before / (before + after), 0.0, 1.0) * begin : 2 * begin;
}

CollectiveTime result(NcclAlgorithm a, NcclProtocol p, const WallCost& w, Bytes size, Seconds at_least) {
  CollectiveTime t;
  t.time = max(at_least, wall_time(w, size));
  t.algorithm = a;
  t.protocol = p;
  t.latency = t.time - (size / bytes) * w.per_byte;
  t.network_bytes_per_gpu = w.network_bytes * size;
  t.scale_up_bytes_per_gpu = w.link_bytes * size;
  t.network_time = (size / bytes) * w.network_per_byte;
  t.scale_up_time = (size / bytes) * w.link_per_byte;
  t.leaf_crossing = w.leaf_crossing;
  return t;
}

}  // namespace

CollectiveTime collective_time_with(const WallConstants& constants, CollectiveOp op, Bytes size,
                                    const GroupLayout& group, const ClusterSpec& cluster,
                                    const CollectiveChoice& choice) {
  FORETRAIN_CHECK(size.base() >= 0 && std::isfinite(size.base()));
  if (group.ranks <= 1 || size.base() <= 0) return {};
  const NcclSystem s = nccl_system(group, cluster);
  if (op == CollectiveOp::all_to_all || op == CollectiveOp::send_recv) {
    const NcclProtocol p = NcclProtocol::simple;
    return result(NcclAlgorithm::p2p, p, wall_cost(s, op, NcclAlgorithm::p2p, p, constants), size, {});
  }
  const Candidates found = possible_candidates(s, op, choice, cluster.nccl.environment[static_cast<std::size_t>(op)]);
  // Where NCCL changes its choice the new one may be faster than the old one was: the time of a smaller size holds on.
  Seconds so_far;
  std::size_t chosen = found.count;
  WallCost wall;
  const auto change_to = [&](std::size_t best, Bytes at) {
    if (best == chosen || at > size) return;
    if (chosen < found.count) so_far = max(so_far, wall_time(wall, at));
    wall = wall_cost(s, op, found.all[best].algorithm, found.all[best].protocol, constants);
    chosen = best;
  };
  const int last = std::clamp(std::ilogb(size.base()) + 1, kFirstOctave, kLastOctave);
  for (int octave = kFirstOctave; octave <= last; ++octave) {
    const Bytes here = Bytes::from_base(std::ldexp(1.0, octave));
    const std::size_t best = fastest(found, octave, here);
    if (chosen == found.count)
      change_to(best, Bytes{});
    else if (best != chosen)
      change_to(best, crossing(found.all[chosen], found.all[best], octave - 1, 0.5 * here));
  }
  return result(found.all[chosen].algorithm, found.all[chosen].protocol, wall, size, so_far);
}

CollectiveTime slowed(CollectiveTime t, const LinkShares& shares) {
  if (shares == LinkShares{}) return t;
  FORETRAIN_CHECK(shares.scale_up > 0 && shares.scale_up <= 1 && shares.network > 0 && shares.network <= 1);
  const Seconds healthy = max(t.network_time, t.scale_up_time);
  t.network_time /= shares.network;
  t.scale_up_time /= shares.scale_up;
  t.time += max(t.network_time, t.scale_up_time) - healthy;
  return t;
}

CollectiveTime collective_time(CollectiveOp op, Bytes size, const GroupLayout& group, const ClusterSpec& cluster,
                               const CollectiveChoice& choice) {
  return collective_time_with(measured_wall_constants(), op, size, group, cluster, choice);
}

double bus_factor(CollectiveOp op, std::int64_t ranks) {
  FORETRAIN_CHECK(ranks >= 1);
  const double n = static_cast<double>(ranks);
  switch (op) {
    case CollectiveOp::all_reduce:
      return 2 * (n - 1) / n;
    case CollectiveOp::all_gather:
    case CollectiveOp::reduce_scatter:
    case CollectiveOp::all_to_all:
      return (n - 1) / n;
    default:
      return 1;
  }
}

Seconds wire_time(CollectiveOp op, Bytes size, std::int64_t ranks, BytesPerSecond bandwidth) {
  return bus_factor(op, ranks) * size / bandwidth;
}

}  // namespace foretrain
