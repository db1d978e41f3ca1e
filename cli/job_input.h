/// The job that a command line names: read from a job or a plan file, with its overrides.
#pragma once

#include <string>

#include "base/spec_node.h"
#include "cli/subcommands.h"

namespace foretrain::cli {

/// The job in `options.file`; of a plan file, its job with plan `number` as the plan. Then the overrides, in order.
SpecNode read_job(const JobOptions& options, std::int32_t number);

/// `job` as JSON text in which files that it names (model, cluster) are replaced by what they hold, so that a plan file
/// can be read anywhere. A model that its file does not name is called `model_name`.
std::string self_contained(const SpecNode& job, const std::string& model_name);

}  // namespace foretrain::cli
