/// The timeline of a plan as a file that Perfetto and chrome://tracing open.
#pragma once

#include <string>

#include "planner/report.h"

namespace foretrain::cli {

/// Simulates `plan` and writes its timeline to the file `path`. MachineError when it cannot be written.
void write_trace(const std::string& path, const Problem& problem, const Plan& plan);

}  // namespace foretrain::cli
