/// Small languages in Megatron-LM's arguments: pipeline layouts, layer frequencies, uneven stages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// "Et*3|(t*4|)*2t*3L": layers of each virtual stage. Nothing, and `why`, for what Megatron-LM would refuse.
/// Source: NVIDIA/Megatron-LM megatron/core/transformer/pipeline_parallel_layer_layout.py (parse_str_to_list,
/// validate_layer_layout).
std::optional<std::vector<std::int32_t>> read_megatron_layout(std::string_view layout, std::string& why);

/// Which layers have experts: `dense` at the front, then every n-th.
struct LayerFrequency {
  std::int64_t dense = 0, every = 1;
};
/// "2", "[0]*3+[1]*58", "([0]*3+[1]*58)": nothing for other patterns, or another count of layers.
std::optional<LayerFrequency> read_layer_frequency(std::string_view text, std::int64_t layers);

struct UnevenStages {
  std::int64_t layers = 0;
  std::optional<std::int64_t> first, last;  ///< layers of the first and last stage, when they differ from the middle
  std::int64_t pipeline = 1, chunks = 1;
};
/// Layers of each virtual stage, or nothing where they do not divide. Source: transformer_block.py
/// (get_num_layers_to_build).
std::optional<std::vector<std::int32_t>> uneven_stages(const UnevenStages& stages);

}  // namespace foretrain
