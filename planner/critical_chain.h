/// The critical path of a simulated step, told in a few lines: what it is made of, and the stages it leads through.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time_point.h"
#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain {

/// Tasks of one label on the path.
struct ChainLabel {
  std::string label;
  std::int64_t tasks = 0;
  Picoseconds time;
};
/// A piece of the path that stays on one device, or of joined ones.
struct ChainLink {
  std::int32_t first_device = 0, last_device = 0;  ///< the range that it leads through
  TimePoint start;
  Picoseconds time;
  std::vector<ChainLabel> labels;  ///< in the order in which they come first; they sum to `time`
};
/// Either way the sum is the makespan, exactly.
struct CriticalChain {
  std::vector<ChainLabel> labels;  ///< longest first, then by name
  std::vector<ChainLink> links;    ///< first to last
};
CriticalChain critical_chain(const sim::TaskGraph& graph, const sim::Timeline& timeline);

/// The chain in at most `most` links: the (most - 1) / 2 longest stand alone, and what lies between them is joined.
/// Needs most >= 1. Sums stay.
std::vector<ChainLink> joined(const std::vector<ChainLink>& links, std::size_t most);

}  // namespace foretrain
