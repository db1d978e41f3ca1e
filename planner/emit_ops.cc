#include "planner/emit_ops.h"

namespace foretrain {

EmittedBlock emit_ops(sim::TaskGraph& graph, const OpLanes& lanes, const OpMarks& marks, const std::vector<Op>& ops,
                      const std::vector<Picoseconds>& times, Picoseconds host_launch) {
  EmittedBlock block;
  sim::TaskId last_compute = marks.after;
  std::vector<sim::TaskId> blocking;  // collectives that all later compute waits for
  std::vector<sim::TaskId> beside;    // collectives that run beside compute until a join
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    const auto* call = std::get_if<CollectiveCall>(&op.work);
    const bool is_join = std::holds_alternative<Join>(op.work);
    const sim::LaneId lane = call == nullptr                     ? lanes.compute
                             : call->group == GroupKind::context ? lanes.context
                                                                 : lanes.tensor;
    sim::TaskId launch = sim::kNone;
    if (!is_join && host_launch.count > 0) {
      launch = graph.add_task({.lane = lanes.host, .label = marks.host, .duration = host_launch});
      if (block.first_host == sim::kNone) block.first_host = launch;
    }
    const bool has_payload = marks.first_payload != sim::kNone && !is_join;
    const sim::TaskId task =
        graph.add_task({.lane = lane,
                        .label = marks.labels[static_cast<std::size_t>(op.label)],
                        .duration = times[i],
                        .index = marks.index,
                        .part = marks.part,
                        .payload = has_payload ? marks.first_payload + static_cast<std::int32_t>(i) : sim::kNone});
    if (block.first == sim::kNone) block.first = task;
    if (launch != sim::kNone) graph.add_dependency(launch, task);
    if (call != nullptr) {
      if (last_compute != sim::kNone) graph.add_dependency(last_compute, task);
      (op.beside ? beside : blocking).push_back(task);
      continue;
    }
    for (const sim::TaskId t : blocking) graph.add_dependency(t, task);
    blocking.clear();
    if (op.joins) {
      for (const sim::TaskId t : beside) graph.add_dependency(t, task);
      beside.clear();
    }
    last_compute = task;
  }
  if (!blocking.empty() || !beside.empty() || last_compute == marks.after) {
    block.last =
        graph.add_task({.lane = lanes.compute, .label = marks.labels[0], .index = marks.index, .part = marks.part});
    for (const sim::TaskId t : blocking) graph.add_dependency(t, block.last);
    for (const sim::TaskId t : beside) graph.add_dependency(t, block.last);
  } else {
    block.last = last_compute;
  }
  if (block.first == sim::kNone) block.first = block.last;
  return block;
}

}  // namespace foretrain
