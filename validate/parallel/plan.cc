#include "validate/parallel/plan.h"

#include <algorithm>

#include "base/check.h"

namespace foretrain::parallel {

Coordinates coordinates_of(const ParallelPlan& plan, int rank) {
  Coordinates place;
  place.tensor = rank % plan.tensor;
  rank /= plan.tensor;
  place.context = rank % plan.context;
  rank /= plan.context;
  place.data = rank % plan.data;
  place.pipeline = rank / plan.data;
  return place;
}

int rank_of(const ParallelPlan& plan, const Coordinates& place) {
  return place.tensor + plan.tensor * (place.context + plan.context * (place.data + plan.data * place.pipeline));
}

Mesh mesh_of(const ParallelPlan& plan, std::int64_t kv_heads, World& world) {
  FORETRAIN_CHECK(world.size() == plan.ranks());
  const Coordinates place = coordinates_of(plan, world.rank());
  // The ranks whose coordinates are `place` but for what `vary` sets for i = 0 .. count - 1.
  const auto group = [&](const std::string& name, int count, const auto& vary) {
    std::vector<int> ranks;
    for (int i = 0; i < count; ++i) {
      Coordinates other = place;
      vary(other, i);
      ranks.push_back(rank_of(plan, other));
    }
    return world.group(ranks, name);
  };
  Mesh mesh;
  mesh.place = place;
  mesh.tensor = group("tensor", plan.tensor, [](Coordinates& c, int i) { c.tensor = i; });
  const int copies = std::max(1, plan.tensor / static_cast<int>(std::min<std::int64_t>(kv_heads, plan.tensor)));
  mesh.key_value =
      group("key_value", copies, [&](Coordinates& c, int i) { c.tensor = place.tensor / copies * copies + i; });
  mesh.context = group("context", plan.context, [](Coordinates& c, int i) { c.context = i; });
  mesh.data = group("data", plan.context * plan.data, [&](Coordinates& c, int i) {
    c.context = i % plan.context;
    c.data = i / plan.context;
  });
  mesh.pipeline = group("pipeline", plan.pipeline, [](Coordinates& c, int i) { c.pipeline = i; });
  const int last = plan.pipeline - 1;
  const bool at_an_end = place.pipeline == 0 || place.pipeline == last;
  mesh.embedding = at_an_end && last > 0
                       ? group("embedding", 2, [&](Coordinates& c, int i) { c.pipeline = i == 0 ? 0 : last; })
                       : world.group({world.rank()}, "embedding");
  std::vector<int> everyone;
  for (int rank = 0; rank < world.size(); ++rank) everyone.push_back(rank);
  mesh.everyone = world.group(everyone, "everyone");
  return mesh;
}

std::vector<int> positions_of(std::int64_t sequence, int rank, int context) {
  const int pieces = context == 1 ? 1 : 2 * context;
  FORETRAIN_CHECK(sequence % pieces == 0);
  const auto length = static_cast<int>(sequence / pieces);
  std::vector<int> positions;
  const auto take = [&](int piece) {
    for (int i = 0; i < length; ++i) positions.push_back(piece * length + i);
  };
  take(rank);
  if (context > 1) take(pieces - 1 - rank);
  return positions;
}

}  // namespace foretrain::parallel
