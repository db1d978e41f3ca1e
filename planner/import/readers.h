/// What each importer reads: one function a file. `text` is UTF-8 with LF.
#pragma once

#include <string>
#include <string_view>

#include "planner/import_config.h"

namespace foretrain {

ImportedJob read_megatron_lm(std::string_view text, const std::string& file);
ImportedJob read_megatron_bridge(std::string_view text, const std::string& file);
ImportedJob read_torchtitan(std::string_view text, const std::string& file);
ImportedJob read_torchtitan_toml(std::string_view text, const std::string& file);
ImportedJob read_deepspeed(std::string_view text, const std::string& file);
ImportedJob read_nanotron(std::string_view text, const std::string& file);
ImportedJob read_rank_map(std::string_view text, const std::string& file);

}  // namespace foretrain
