/// The timeline as Perfetto's own format, protocol buffers: a quarter of the size of Chrome's JSON, for large steps.
#pragma once

#include <iosfwd>

#include "sim/trace_content.h"

namespace foretrain::sim {

/// Writes a perfetto.protos.Trace: a process for each device, a thread for each lane, a slice for each task, counters
/// of memory by label and in all, one process "network" with a counter of bytes per second for each link, and flows for
/// what one device's communication starts on another. Names are interned. The same slices and levels as
/// write_chrome_trace(), without the parts of composite labels. Text leaves in pieces of 64 KiB. The stream's
/// state tells of write errors.
/// Source: google/perfetto docs/reference/synthetic-track-event.md; field numbers of protos/perfetto/trace at commit
/// ec5d16b (Apache-2.0).
void write_perfetto_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                          const TraceOptions& options = {});

}  // namespace foretrain::sim
