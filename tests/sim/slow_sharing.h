/// Max-min fair rates by the definition, for tests: slow, and written independently of sim/fluid_network.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "sim/task_graph.h"

namespace foretrain::sim {

struct SlowFlow {
  std::vector<LinkUse> uses;
  double limit = 0;  ///< 0: none
};

/// All rates rise together; a flow stops at its limit or when one of its links is full. [flow]
inline std::vector<double> fill_slowly(const std::vector<double>& capacities,
                                       const std::vector<const SlowFlow*>& flows) {
  std::vector<double> rate(flows.size(), -1);
  for (;;) {
    // The lowest level at which something stops.
    long double level = INFINITY;
    std::vector<long double> link_level(capacities.size(), INFINITY);
    for (std::size_t l = 0; l < capacities.size(); ++l) {
      long double used = 0, rising = 0;
      for (std::size_t f = 0; f < flows.size(); ++f) {
        for (const LinkUse& use : flows[f]->uses) {
          if (static_cast<std::size_t>(use.link) != l) continue;
          if (rate[f] < 0) {
            rising += use.weight;
          } else {
            used += use.weight * rate[f];
          }
        }
      }
      if (rising > 0) link_level[l] = (capacities[l] - used) / rising;
      level = std::min(level, link_level[l]);
    }
    for (std::size_t f = 0; f < flows.size(); ++f)
      if (rate[f] < 0 && flows[f]->limit > 0) level = std::min<long double>(level, flows[f]->limit);
    if (level == INFINITY) return rate;
    const long double slack = level * (1 + 1e-13L);
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (rate[f] >= 0) continue;
      bool stops = flows[f]->limit > 0 && flows[f]->limit <= slack;
      for (const LinkUse& use : flows[f]->uses)
        stops = stops || link_level[static_cast<std::size_t>(use.link)] <= slack;
      if (stops) rate[f] = static_cast<double>(level);
    }
  }
}

}  // namespace foretrain::sim
