/// A pipeline as a task graph, for tests: one compute lane a stage, instant sends, fixed pass durations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/schedule.h"
#include "sim/task_graph.h"

namespace foretrain::sim {

struct PassTimes {
  Picoseconds forward, backward;  ///< of one micro-batch through one chunk
};

/// Passes in the schedule's order. Chunk c of stage s is the (c * stages + s)-th part of the model; a forward pass
/// needs the one of the part before, a backward pass the one of the part after. Each forward gains a byte of
/// "activations" at its start, each backward frees it at its end.
inline TaskGraph pipeline_graph(const Schedule& schedule, const PipelineShape& shape, const PassTimes& times) {
  TaskGraph graph;
  const std::int32_t compute = graph.part("compute");
  const LabelId forward_label = graph.add_label({"forward", {{compute, 1}}});
  const LabelId backward_label = graph.add_label({"backward", {{compute, 1}}});
  const LabelId bubble = graph.add_label({"bubble", {{graph.part("bubble"), 1}}});
  const MemoryLabelId activations = graph.memory_label("activations");
  const std::int32_t model_parts = shape.stages * shape.virtual_stages;
  const std::size_t passes = static_cast<std::size_t>(model_parts) * static_cast<std::size_t>(shape.micro_batches);
  const auto pass = [&](std::int32_t model_part, std::int32_t micro_batch) {
    return static_cast<std::size_t>(model_part) * static_cast<std::size_t>(shape.micro_batches) +
           static_cast<std::size_t>(micro_batch);
  };
  std::vector<TaskId> forward(passes, kNone), backward(passes, kNone);
  graph.reserve(2 * passes, 2 * passes);
  for (std::int32_t stage = 0; stage < shape.stages; ++stage) {
    const DeviceId device = graph.add_device({"stage " + std::to_string(stage)});
    const LaneId lane = graph.add_lane({"compute", device, LaneKind::compute, bubble});
    for (const Pass& p : schedule.order(shape, stage)) {
      const bool is_forward = p.kind == PassKind::forward;
      const TaskId task = graph.add_task({.lane = lane,
                                          .label = is_forward ? forward_label : backward_label,
                                          .duration = is_forward ? times.forward : times.backward,
                                          .flow = {},
                                          .rate_limit = {},
                                          .index = p.micro_batch,
                                          .part = p.chunk});
      graph.add_memory_effect({task, activations, !is_forward, is_forward ? 1 : -1});
      (is_forward ? forward : backward)[pass(p.chunk * shape.stages + stage, p.micro_batch)] = task;
    }
  }
  for (std::int32_t part = 0; part < model_parts; ++part) {
    for (std::int32_t m = 0; m < shape.micro_batches; ++m) {
      const std::size_t here = pass(part, m);
      if (part > 0) graph.add_dependency(forward[pass(part - 1, m)], forward[here]);
      graph.add_dependency(part + 1 < model_parts ? backward[pass(part + 1, m)] : forward[here], backward[here]);
    }
  }
  return graph;
}

}  // namespace foretrain::sim
