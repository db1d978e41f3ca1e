/// The timeline as Chrome's trace-event JSON: opens in Perfetto, chrome://tracing and speedscope.
#pragma once

#include <iosfwd>

#include "sim/trace_content.h"

namespace foretrain::sim {

/// Writes one JSON object: a process for each device, a thread for each lane, a complete event ("X") for each task,
/// counters ("C") of what each device holds by memory label, arrows ("s", "f") for what one device's communication
/// starts on another, and where the timeline holds rates a process "network" with a counter for each link.
///
/// Slice arguments: the task's number, its index and part, its bytes, and the parts of a composite label with their
/// share of the time; the label of a task that is named by its payload. A slice that another follows at once is a
/// nanosecond shorter: readers that add `ts` and `dur` as doubles must not find them to overlap. Needs some 50 bytes a
/// task besides graph and timeline; text leaves in pieces of 64 KiB. The stream's state tells of write errors.
///
/// Source: "Trace Event Format", Google, 2016 (sections Complete, Counter, Flow and Metadata Events).
void write_chrome_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                        const TraceOptions& options = {});

}  // namespace foretrain::sim
