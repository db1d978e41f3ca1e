/// The timeline of a plan as a file that Perfetto and chrome://tracing open.
#pragma once

#include <string>

#include "planner/report.h"

namespace foretrain::cli {

/// Simulates `plan` (every rank when `unfold`) and writes its timeline to the file `path`: Perfetto's protocol buffers
/// where it ends in .pftrace or .perfetto-trace, Chrome's JSON otherwise. Of a step with more than two million tasks
/// some stages only, which a warning on stderr says; so does one when the file has more than 100 MB. MachineError when
/// it cannot be written.
void write_trace(const std::string& path, const Problem& problem, const Plan& plan, bool unfold = false);

}  // namespace foretrain::cli
