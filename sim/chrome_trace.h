/// The timeline as Chrome's trace-event JSON: opens in Perfetto, chrome://tracing and speedscope.
#pragma once

#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "sim/timeline.h"

namespace foretrain::sim {

struct ChromeTraceOptions {
  std::string index_name = "micro_batch";                     ///< how slices call TaskSpec::index
  std::string part_name = "chunk";                            ///< and TaskSpec::part
  std::vector<std::pair<std::string, std::string>> metadata;  ///< shown with the trace: {"plan", "tp 8 pp 4"}
};

/// Writes one JSON object: a process for each device, a thread for each lane, a complete event ("X") for each task,
/// counters ("C") of what each device holds by memory label, and arrows ("s", "f") for what one device's communication
/// starts on another.
///
/// Slice arguments: the task's number, its index and part, its bytes, and the parts of a composite label with their
/// share of the time. Instants are rounded to whole nanoseconds before durations are taken, so slices that follow each
/// other never overlap. Tasks shorter than that have no arrows: nothing could hold them. Nothing is buffered but the
/// levels of one device. The stream's state tells of write errors.
/// Source: "Trace Event Format", Google, 2016 (sections Complete, Counter, Flow and Metadata Events).
void write_chrome_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                        const ChromeTraceOptions& options = {});

}  // namespace foretrain::sim
