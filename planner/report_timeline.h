/// The timeline of a step, small enough for a report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain {

struct ReportSlice {
  std::int64_t start = 0, end = 0;   ///< microseconds
  std::int32_t name = 0, index = 0;  ///< of ReportTimeline::names; the micro-batch or -1
};
struct ReportLane {
  std::string name;
  std::vector<ReportSlice> slices;  ///< in order, none overlaps another
};
struct ReportStage {
  std::string name;
  std::int64_t alike = 1;  ///< GPUs that this one stands for
  std::vector<ReportLane> lanes;
};
struct ReportTimeline {
  std::int64_t makespan = 0;  ///< microseconds
  std::vector<std::string> names;
  std::vector<ReportStage> stages;
  std::string note;  ///< what is shown and what is left out, for people
};

/// At most about `most_slices` slices. Left out until they suffice, in this order: launches on the host; stages,
/// evenly, down to four; the middle of the step, which stands as one slice a lane, named "not drawn". Tasks shorter
/// than a microsecond are left out.
ReportTimeline report_timeline(const sim::TaskGraph& graph, const sim::Timeline& timeline, std::size_t most_slices);

}  // namespace foretrain
