#include "validate/gpu/run/rank_groups.h"

namespace foretrain::gpu {

RankPlace place_of(const World& w, std::int32_t rank) {
  RankPlace place;
  place.tensor = rank % w.tensor;
  rank /= w.tensor;
  place.context = rank % w.context;
  rank /= w.context;
  place.data = rank % w.data;
  place.pipeline = rank / w.data;
  return place;
}

std::int32_t rank_of(const World& w, const RankPlace& p) {
  return ((p.pipeline * w.data + p.data) * w.context + p.context) * w.tensor + p.tensor;
}

std::vector<std::int32_t> group_ranks(const World& w, std::int32_t rank, Group group) {
  const RankPlace me = place_of(w, rank);
  const auto in_data = [&](const RankPlace& p) { return p.data * w.context + p.context; };
  if (group == Group::next || group == Group::previous) {
    RankPlace other = me;
    other.pipeline = (me.pipeline + (group == Group::next ? 1 : w.pipeline - 1)) % w.pipeline;
    return {rank, rank_of(w, other)};
  }
  const auto together = [&](const RankPlace& p) {
    const bool same_model = p.data == me.data && p.context == me.context;
    const bool same_slice = p.pipeline == me.pipeline && p.tensor == me.tensor;
    const auto is_end = [&](const RankPlace& x) { return x.pipeline == 0 || x.pipeline + 1 == w.pipeline; };
    switch (group) {
      case Group::tensor:
        return same_model && p.pipeline == me.pipeline;
      case Group::context:
        return same_slice && p.data == me.data;
      case Group::data:
        return same_slice;
      case Group::shard:
        return same_slice && in_data(p) / w.shard == in_data(me) / w.shard;
      case Group::replica:
        return same_slice && in_data(p) % w.shard == in_data(me) % w.shard;
      case Group::model:
        return same_model;
      case Group::embedding:
        return same_model && p.tensor == me.tensor && is_end(p) && is_end(me);
      case Group::next:
      case Group::previous:
        break;
    }
    return false;
  };
  std::vector<std::int32_t> ranks;
  for (std::int32_t r = 0; r < w.gpus; ++r) {
    if (together(place_of(w, r))) ranks.push_back(r);
  }
  return ranks;
}

}  // namespace foretrain::gpu
