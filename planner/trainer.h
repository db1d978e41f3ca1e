/// Trainers that a plan can be launched with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace foretrain {

/// `torchtitan` is today's (Python recipes), `torchtitan_toml` releases up to 0.2.2.
enum class Trainer : std::uint8_t { megatron_lm, megatron_bridge, torchtitan, torchtitan_toml, deepspeed, nanotron };
inline constexpr std::array<std::string_view, 6> kTrainerNames = {"megatron-lm",     "megatron-bridge", "torchtitan",
                                                                  "torchtitan-toml", "deepspeed",       "nanotron"};

}  // namespace foretrain
