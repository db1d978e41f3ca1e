#include "validate/device/one_rank.h"

#include <map>
#include <vector>

#include "sim/simulator.h"

namespace foretrain {

Picoseconds one_rank_step(const StepGraph& step, const Plan& plan, std::int32_t stage) {
  const std::vector<sim::TaskId> tasks = tasks_of_stage(step, plan, stage);
  sim::TaskGraph alone;
  const sim::DeviceId device = alone.add_device({.name = "rank"});
  const sim::LabelId label = alone.add_label({.name = "task", .parts = {{.part = alone.part("task")}}});
  std::map<sim::LaneId, sim::LaneId> lanes;
  for (const sim::TaskId t : tasks) {
    const auto [lane, is_new] = lanes.emplace(step.graph.lane_of(t), sim::kNone);
    if (is_new) {
      const sim::Lane& original = step.graph.lanes()[static_cast<std::size_t>(lane->first)];
      lane->second = alone.add_lane({.name = original.name, .device = device, .kind = original.kind});
    }
    alone.add_task({.lane = lane->second, .label = label, .duration = time_alone(step.graph, t)});
  }
  for (const auto& d : dependencies_within(step, tasks)) alone.add_dependency(d.first, d.second);
  return sim::simulate(alone, {.memory = false, .releases = false}).makespan;
}

}  // namespace foretrain
