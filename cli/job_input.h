/// The job that a command line names: read from a job or a plan file, with its overrides.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/spec_node.h"
#include "cli/subcommands.h"
#include "hwmodels/calibration.h"
#include "planner/problem.h"
#include "planner/self_contained.h"

namespace foretrain::cli {

/// The job in `options.file`; of a plan file, its job with plan `number` as the plan. Then the overrides, in order.
SpecNode read_job(const JobOptions& options, std::int32_t number);

/// The calibration that the command line names, or null. Warns when the file was predicted with another one.
std::shared_ptr<const Calibration> read_job_calibration(const JobOptions& options);

/// The problem of `job`, which must have a plan that can be planned for, with the calibration that `options` name.
/// SpecError where it has not.
Problem load_with_plan(const SpecNode& job, const JobOptions& options = {});

/// The rank of `plan` that `text` (of --rank) names; nothing for "all". SpecError for anything else.
std::optional<std::int64_t> parse_rank(const std::string& text, const Plan& plan);

}  // namespace foretrain::cli
