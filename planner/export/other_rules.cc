#include "planner/export/rule_tables.h"
namespace foretrain::rules {
std::span<const LaunchRule> megatron_bridge() { return {}; }
std::span<const LaunchRule> torchtitan() { return {}; }
std::span<const LaunchRule> torchtitan_toml() { return {}; }
std::span<const LaunchRule> deepspeed() { return {}; }
std::span<const LaunchRule> nanotron() { return {}; }
}  // namespace foretrain::rules
