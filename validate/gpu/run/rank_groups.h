/// Which global ranks form each group of a plan.
#pragma once

#include <cstdint>
#include <vector>

#include "validate/gpu/run/graph_file.h"

namespace foretrain::gpu {

/// A rank's coordinates: rank = ((p * data + d) * context + c) * tensor + t.
struct RankPlace {
  std::int32_t tensor = 0, context = 0, data = 0, pipeline = 0;
  friend bool operator==(const RankPlace&, const RankPlace&) = default;
};
RankPlace place_of(const World& world, std::int32_t rank);
std::int32_t rank_of(const World& world, const RankPlace& place);

/// The ranks of `rank`'s group in ascending order (with itself). data: all of data x context; shard: its consecutive
/// World::shard ranks among them; replica: those with the same place in their shard group; model: all tensor and
/// pipeline ranks of its replica; embedding: first and last stage, empty for a rank of another; next, previous: itself
/// and its counterpart on the neighbouring stage (in a ring), in that order.
std::vector<std::int32_t> group_ranks(const World& world, std::int32_t rank, Group group);

}  // namespace foretrain::gpu
