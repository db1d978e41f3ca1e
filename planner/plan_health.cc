#include "planner/plan_health.h"

#include <algorithm>
#include <functional>
#include <map>

namespace foretrain {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

LinkShares worst_of(const LinkShares& a, const LinkShares& b) {
  return {std::min(a.scale_up, b.scale_up), std::min(a.network, b.network)};
}

/// Where a plan's ranks lie: rank = t + T (c + C (d + D s)), as tp-cp-ep-dp-pp orders them.
struct Ranks {
  std::int64_t tensor, context, data, stages, cell, stage, shard;
  explicit Ranks(const Plan& p)
      : tensor(p.tensor),
        context(p.context),
        data(p.data),
        stages(p.pipeline),
        cell(tensor * context),
        stage(cell * data),
        shard(p.zero_stage == 0 ? data * context : std::int64_t{shard_ranks(p)}) {}
};

struct Families {
  std::vector<RankGroup> tensor, context, data, replica, embedding;
  std::vector<RankGroup> forward, backward;  ///< [receiving rank]; of one rank where nothing arrives
};

Families families(const Plan& plan) {
  const Ranks r(plan);
  Families f;
  const std::int64_t ranks = r.stage * r.stages;
  for (std::int64_t i = 0; i < ranks; i += r.tensor) f.tensor.push_back({i, 1, r.tensor});
  for (std::int64_t i = 0; i < ranks; i += r.cell)
    for (std::int64_t t = 0; t < r.tensor; ++t) f.context.push_back({i + t, r.tensor, r.context});
  for (std::int64_t i = 0; i < ranks; i += r.tensor * r.shard)
    for (std::int64_t t = 0; t < r.tensor; ++t) f.data.push_back({i + t, r.tensor, r.shard});
  const std::int64_t copies = r.data * r.context / r.shard;
  for (std::int64_t s = 0; copies > 1 && s < r.stages; ++s)
    for (std::int64_t i = 0; i < r.tensor * r.shard; ++i)
      f.replica.push_back({s * r.stage + i, r.tensor * r.shard, copies});
  if (r.stages == 1) return f;
  const bool wraps = plan.virtual_pipeline > 1;
  for (std::int64_t i = 0; i < ranks; ++i) {
    const std::int64_t before = i - r.stage, after = i + r.stage;
    const auto message = [&](std::int64_t from) {
      if (from >= 0 && from < ranks) return RankGroup{from, i - from, 2, true};
      if (!wraps) return RankGroup{i, 1, 1, true};
      const std::int64_t other = from < 0 ? from + ranks : from - ranks;
      return RankGroup{other, i - other, 2, true};
    };
    f.forward.push_back(message(before));
    f.backward.push_back(message(after));
  }
  for (std::int64_t i = 0; i < r.stage; ++i) f.embedding.push_back({i, r.stage * (r.stages - 1), 2});
  return f;
}

struct FamilyShares {
  std::vector<LinkShares> tensor, context, data, replica, embedding, forward, backward;
};
FamilyShares family_shares(const Families& f, const GroupHealth& g) {
  return {g.shares(f.tensor),    g.shares(f.context), g.shares(f.data),    g.shares(f.replica),
          g.shares(f.embedding), g.shares(f.forward), g.shares(f.backward)};
}

/// What `count` ranks of each stage, from the `first` of the stage on, have of their speed. They are of one replica,
/// and in step with all of it.
ReplicaHealth health_of(std::int64_t first, std::int64_t count, const Ranks& r, const FamilyShares& shares,
                        const ClusterHealth& health) {
  ReplicaHealth replica;
  for (std::int64_t s = 0; s < r.stages; ++s) {
    StageHealth h;
    const std::int64_t begin = s * r.stage + first, cell = begin / r.cell * r.cell;
    for (std::int64_t i = cell; i < cell + r.cell; ++i) {
      h.cell.compute = std::min(h.cell.compute, health.compute_share(i));
      h.cell.context = worst_of(h.cell.context, shares.context[at(i / r.cell * r.tensor + i % r.tensor)]);
      if (i % r.tensor == 0) h.cell.tensor = worst_of(h.cell.tensor, shares.tensor[at(i / r.tensor)]);
    }
    for (std::int64_t i = begin; i < begin + count; ++i) {
      h.data = worst_of(h.data, shares.data[at(i / (r.tensor * r.shard) * r.tensor + i % r.tensor)]);
      if (!shares.replica.empty()) {
        const std::int64_t copies = r.tensor * r.shard;
        h.replica = worst_of(h.replica, shares.replica[at(s * copies + i % r.stage % copies)]);
      }
      if (r.stages == 1) continue;
      h.forward_arrival = worst_of(h.forward_arrival, shares.forward[at(i)]);
      h.backward_arrival = worst_of(h.backward_arrival, shares.backward[at(i)]);
      replica.embedding = worst_of(replica.embedding, shares.embedding[at(i % r.stage)]);
    }
    replica.stages.push_back(h);
  }
  return replica;
}

/// The data-parallel collectives of a gang run at the pace of its slowest group, those over replicas of the shards at
/// that of the slowest of all.
void share_gang_pace(std::vector<ReplicaHealth>& replicas, std::int64_t per_gang) {
  for (std::size_t first = 0; first < replicas.size(); first += at(per_gang)) {
    const std::size_t end = std::min(replicas.size(), first + at(per_gang));
    for (std::size_t s = 0; s < replicas[first].stages.size(); ++s) {
      LinkShares worst;
      for (std::size_t d = first; d < end; ++d) worst = worst_of(worst, replicas[d].stages[s].data);
      for (std::size_t d = first; d < end; ++d) replicas[d].stages[s].data = worst;
    }
  }
  for (std::size_t s = 0; s < replicas.front().stages.size(); ++s) {
    LinkShares worst;
    for (const ReplicaHealth& replica : replicas) worst = worst_of(worst, replica.stages[s].replica);
    for (ReplicaHealth& replica : replicas) replica.stages[s].replica = worst;
  }
}

}  // namespace

std::vector<double> signature(const ReplicaHealth& replica) {
  std::vector<double> numbers;
  const auto add = [&](const LinkShares& l) { numbers.insert(numbers.end(), {l.scale_up, l.network}); };
  for (const StageHealth& h : replica.stages) {
    numbers.push_back(h.cell.compute);
    for (const LinkShares* l :
         {&h.cell.tensor, &h.cell.context, &h.forward_arrival, &h.backward_arrival, &h.data, &h.replica})
      add(*l);
  }
  add(replica.embedding);
  return numbers;
}

bool is_healthy(const ReplicaHealth& health) {
  const std::vector<double> numbers = signature(health);
  return std::all_of(numbers.begin(), numbers.end(), [](double n) { return n == 1; });
}

std::vector<ReplicaClass> replica_classes(const Plan& plan, const GroupHealth& groups) {
  const Ranks r(plan);
  const FamilyShares shares = family_shares(families(plan), groups);
  std::vector<ReplicaHealth> replicas;
  for (std::int64_t d = 0; d < r.data; ++d)
    replicas.push_back(health_of(d * r.cell, r.cell, r, shares, groups.health()));
  const std::int64_t per_gang = std::max<std::int64_t>(1, r.shard / r.context);
  share_gang_pace(replicas, per_gang);

  std::map<std::vector<double>, std::int32_t> kinds;  // of replicas
  std::vector<std::int32_t> kind;
  for (const ReplicaHealth& h : replicas)
    kind.push_back(kinds.emplace(signature(h), static_cast<std::int32_t>(kinds.size())).first->second);
  std::map<std::vector<std::int32_t>, std::int32_t> gangs;                // by the kinds of their replicas
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> class_of;  // gang, kind
  std::vector<ReplicaClass> classes;
  for (std::size_t first = 0; first < replicas.size(); first += at(per_gang)) {
    const std::size_t end = std::min(replicas.size(), first + at(per_gang));
    std::vector<std::int32_t> members(kind.begin() + static_cast<std::ptrdiff_t>(first),
                                      kind.begin() + static_cast<std::ptrdiff_t>(end));
    std::sort(members.begin(), members.end());
    const std::int32_t gang = gangs.emplace(members, static_cast<std::int32_t>(gangs.size())).first->second;
    for (std::size_t d = first; d < end; ++d) {
      const auto [place, is_new] = class_of.emplace(std::pair(gang, kind[d]), classes.size());
      if (is_new) classes.push_back({{}, replicas[d], gang});
      classes[place->second].replicas.push_back(static_cast<std::int64_t>(d));
    }
  }
  return classes;
}

std::vector<RankPipeline> rank_pipelines(const Plan& plan, const GroupHealth& groups) {
  const Ranks r(plan);
  const FamilyShares shares = family_shares(families(plan), groups);
  std::vector<RankPipeline> pipelines;
  for (std::int64_t i = 0; i < r.stage; ++i) {
    pipelines.push_back({.first_rank = i,
                         .health = health_of(i, 1, r, shares, groups.health()),
                         .shard_gang = static_cast<std::int32_t>(i / (r.tensor * r.shard) * r.tensor + i % r.tensor),
                         .replica_gang = static_cast<std::int32_t>(i % (r.tensor * r.shard)),
                         .cell = static_cast<std::int32_t>(i / r.cell)});
  }
  return pipelines;
}

RankGroup gang_ranks(const Plan& plan, std::int32_t stage, bool over_replicas, std::int32_t gang) {
  const Ranks r(plan);
  const std::int64_t sharing = r.tensor * r.shard, first = stage * r.stage;
  if (over_replicas) return {first + gang, sharing, r.data * r.context / r.shard};
  return {first + gang / r.tensor * sharing + gang % r.tensor, r.tensor, r.shard};
}

std::vector<SlowGroups> slow_groups(const Plan& plan, const GroupHealth& groups) {
  const Ranks r(plan);
  std::vector<SlowGroups> found;
  SlowGroups ranks{.kind = "rank", .groups = {}};
  for (std::int64_t i = 0; i < r.stage * r.stages; ++i) {
    const double share = groups.health().compute_share(i);
    if (share < 1) ranks.groups.push_back(i);
    ranks.share = std::min(ranks.share, share);
  }
  if (!ranks.groups.empty()) found.push_back(std::move(ranks));
  const Families f = families(plan);
  const FamilyShares shares = family_shares(f, groups);
  const auto add = [&](const char* kind, const std::vector<LinkShares>& of) {
    SlowGroups slow{.kind = kind, .groups = {}};
    for (std::size_t i = 0; i < of.size(); ++i) {
      if (of[i] == LinkShares{}) continue;
      slow.groups.push_back(static_cast<std::int64_t>(i));
      slow.share = std::min({slow.share, of[i].scale_up, of[i].network});
    }
    if (!slow.groups.empty()) found.push_back(std::move(slow));
  };
  add("tensor-parallel group", shares.tensor);
  add("context-parallel group", shares.context);
  add(plan.zero_stage > 0 && r.shard < r.data * r.context ? "sharding group" : "data-parallel group", shares.data);
  add("replica group", shares.replica);
  std::vector<LinkShares> arrivals(shares.forward.size());
  for (std::size_t i = 0; i < arrivals.size(); ++i) arrivals[i] = worst_of(shares.forward[i], shares.backward[i]);
  add("pipeline messages to rank", arrivals);
  return found;
}

}  // namespace foretrain
