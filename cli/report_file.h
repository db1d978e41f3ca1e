/// The HTML report of a search or of one plan, as a file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/spec_node.h"
#include "cli/subcommands.h"
#include "planner/calibration_coverage.h"
#include "planner/search.h"

namespace foretrain::cli {

struct ReportFile {
  std::string path;
  std::string command;    ///< that makes it again
  bool searched = false;  ///< the result is of a search that kept what it judged
  std::int32_t threads = 0;
};

/// Writes the report of `result`, which holds a plan or none that fits. MachineError when it cannot be written.
void write_report(const ReportFile& file, const Problem& problem, const SpecNode& job, const SearchResult& result,
                  const CalibrationCoverage* calibration);

/// "foretrain plan job.json --set a=b --report FILE": words quoted where a shell would read them otherwise.
std::string command_line(std::string_view subcommand, const JobOptions& job, const std::string& more);

}  // namespace foretrain::cli
