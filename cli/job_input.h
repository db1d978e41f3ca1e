/// The job that a command line names: read from a job or a plan file, with its overrides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/spec_node.h"
#include "cli/subcommands.h"
#include "planner/problem.h"

namespace foretrain::cli {

/// The job in `options.file`; of a plan file, its job with plan `number` as the plan. Then the overrides, in order.
SpecNode read_job(const JobOptions& options, std::int32_t number);

/// The problem of `job`, which must have a plan that can be planned for. SpecError where it has not.
Problem load_with_plan(const SpecNode& job);

/// The rank of `plan` that `text` (of --rank) names; nothing for "all". SpecError for anything else.
std::optional<std::int64_t> parse_rank(const std::string& text, const Plan& plan);

/// `job` as JSON text in which files that it names (model, cluster) are replaced by what they hold, so that a plan file
/// can be read anywhere. A model that its file does not name is called `model_name`.
std::string self_contained(const SpecNode& job, const std::string& model_name);

}  // namespace foretrain::cli
