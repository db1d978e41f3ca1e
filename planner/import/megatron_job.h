/// Megatron-LM's arguments as a job.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "planner/import/shell_script.h"
#include "planner/import_config.h"

namespace foretrain {

/// What `arguments` start on `gpus` (where that is known). `warnings` stand before its own. SpecError at "file:line".
ImportedJob megatron_job(std::span<const ShellWord> arguments, const std::optional<std::int64_t>& gpus,
                         const std::string& file, std::vector<std::string> warnings);

}  // namespace foretrain
