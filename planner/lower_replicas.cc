// Replicas that are simulated by themselves: collectives that they run together, and ranks one by one.
#include "base/check.h"
#include "planner/lowering.h"
#include "planner/plan_health.h"

namespace foretrain {

using sim::kNone;

/// The ranks of a cell meet in collectives several times a layer: each of their tasks on the compute lane starts when
/// the same one of all of them can.
void Lowering::run_cells_in_step() {
  std::vector<std::int32_t> of_lane(g_.lanes().size(), kNone);  // device, of a compute lane
  for (std::size_t d = 0; d < step_.lanes.size(); ++d)
    of_lane[static_cast<std::size_t>(step_.lanes[d].compute)] = static_cast<std::int32_t>(d);
  const auto device = [&](TaskId t) { return of_lane[static_cast<std::size_t>(g_.lane_of(t))]; };
  std::vector<std::vector<TaskId>> computed(step_.lanes.size());  // [device] in order
  std::vector<std::int32_t> place(static_cast<std::size_t>(g_.task_count()), kNone);
  for (TaskId t = 0; t < g_.task_count(); ++t) {
    if (device(t) == kNone) continue;
    std::vector<TaskId>& tasks = computed[static_cast<std::size_t>(device(t))];
    place[static_cast<std::size_t>(t)] = static_cast<std::int32_t>(tasks.size());
    tasks.push_back(t);
  }
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<std::int32_t>> cells;  // by stage and cell: devices
  for (std::size_t d = 0; d < computed.size(); ++d) {
    const std::size_t stages = static_cast<std::size_t>(plan_.pipeline);
    cells[{static_cast<std::int32_t>(d % stages), replicas_[d / stages].cell}].push_back(static_cast<std::int32_t>(d));
  }
  std::vector<const std::vector<std::int32_t>*> cell_of(computed.size());
  for (const auto& [key, devices] : cells)
    for (const std::int32_t d : devices) cell_of[static_cast<std::size_t>(d)] = &devices;
  const std::size_t own = g_.dependencies().size();
  for (std::size_t i = 0; i < own; ++i) {
    const auto [before, after] = g_.dependencies()[i];
    if (device(after) == kNone) continue;
    for (const std::int32_t peer : *cell_of[static_cast<std::size_t>(device(after))]) {
      const std::vector<TaskId>& tasks = computed[static_cast<std::size_t>(peer)];
      const auto same = static_cast<std::size_t>(place[static_cast<std::size_t>(after)]);
      FORETRAIN_CHECK(same < tasks.size());
      if (peer != device(after)) g_.add_dependency(before, tasks[same]);
    }
  }
}

/// A collective that replicas run together: one task, which the first of them adds to its lane. It starts when all have
/// come to it, and moves at the pace of the slowest of their links.
Lowering::TaskId Lowering::add_shared_message(std::int32_t stage, const Message& m, sim::LabelId label, WorkGroup group,
                                              std::int32_t index) {
  const SimulatedReplica& replica = replicas_[replica_];
  const bool over_replicas = group == WorkGroup::replica;
  const std::int32_t gang = over_replicas ? replica.replica_gang : replica.shard_gang;
  std::vector<TaskId>& tasks = shared_[{stage, over_replicas, gang}];
  std::size_t& next = next_shared_[{static_cast<std::int32_t>(first_device_) + stage, over_replicas}];
  if (next == tasks.size()) {
    sim::TaskSpec task{.lane = lanes_of(stage).data, .label = label, .duration = m.total, .index = index};
    const sim::RouteId route = m.flow.base() > 0 ? shared_route(stage, over_replicas, gang, m.crossing) : kNone;
    if (route != kNone) {
      task.duration = m.fixed;
      task.flow = m.flow;
      task.rate_limit = m.rate;
      task.route = route;
    }
    task.payload = payload_of(m, group);
    tasks.push_back(g_.add_task(task));
  }
  return tasks[next++];
}

/// Over the links of every replica of the gang.
sim::RouteId Lowering::shared_route(std::int32_t stage, bool over_replicas, std::int32_t gang, double crossing) {
  const auto [place, is_new] = shared_routes_.emplace(std::tuple(stage, over_replicas, gang, crossing), kNone);
  if (!is_new) return place->second;
  if (options_.network != nullptr) {
    std::vector<sim::LinkUse> ports = options_.network->uses(gang_ranks(plan_, stage, over_replicas, gang));
    if (!ports.empty()) place->second = g_.add_route(std::move(ports));
    return place->second;
  }
  std::vector<sim::LinkUse> uses;
  for (std::size_t r = 0; r < replicas_.size(); ++r) {
    if ((over_replicas ? replicas_[r].replica_gang : replicas_[r].shard_gang) != gang) continue;
    const StageNetwork& network =
        networks_[r * static_cast<std::size_t>(plan_.pipeline) + static_cast<std::size_t>(stage)];
    if (network.nic != kNone) uses.push_back({.link = network.nic});
    if (network.up != kNone && crossing > 0) uses.push_back({.link = network.up, .weight = crossing});
  }
  if (!uses.empty()) place->second = g_.add_route(std::move(uses));
  return place->second;
}

/// The way of a message to this replica's rank of `stage`; kNone inside an NVLink domain.
sim::RouteId Lowering::arrival_route(std::int32_t stage, bool forward) {
  const auto [place, is_new] = arrival_routes_.emplace(std::pair(device_of(stage), forward), kNone);
  if (!is_new) return place->second;
  const std::int32_t from = (stage + (forward ? plan_.pipeline - 1 : 1)) % plan_.pipeline;
  std::vector<sim::LinkUse> ports = options_.network->uses(
      {.first = rank_of(from), .stride = rank_of(stage) - rank_of(from), .ranks = 2, .one_way = true});
  if (!ports.empty()) place->second = g_.add_route(std::move(ports));
  return place->second;
}

std::int64_t Lowering::rank_of(std::int32_t stage) const {
  return replicas_[replica_].first_rank + stage * (gpus_used(plan_) / plan_.pipeline);
}

}  // namespace foretrain
