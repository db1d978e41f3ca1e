// What follows the passes: gradient reductions, the norm over all stages, optimizer, parameter gathers.
#include "planner/lowering.h"

namespace foretrain {

using sim::kNone;

/// What is left to reduce once a stage's passes are done.
void Lowering::finish_reductions(std::int32_t s, TaskId last_pass) {
  const StageLanes& lanes = lanes_of(s);
  const StageCost& stage = costs_->stages[static_cast<std::size_t>(s)];
  TaskId ready = last_pass;
  const auto after = [&](TaskId next) {
    g_.add_dependency(ready, next);
    ready = next;
  };
  if (data_parallel()) {
    if (!plan_.overlap.data && plan_.zero_stage < 3 && !reduces_each_time()) {
      for (std::int32_t b = 0; b < stage.data.buckets; ++b) {
        after(add_message(lanes.data, s, stage.data.reduce, data_label_, reduce_group()));
      }
    } else if (last_reduce_ != kNone) {
      ready = last_reduce_;
    }
    if (stage.data.replica_reduce.total.count > 0) {
      after(add_message(lanes.data, s, stage.data.replica_reduce, data_label_, WorkGroup::replica));
    }
  }
  if (stage.gradient_tail.total.count > 0) {
    const Message& tail = stage.gradient_tail;
    after(g_.add_task({.lane = lanes.compute,
                       .label = tensor_label_,
                       .duration = tail.total,
                       .payload = payload_of(tail, WorkGroup::tensor)}));
  }
  gradients_ready_.push_back({ready, last_pass});
}

void Lowering::finish_step() {
  // A lane of its own without a wait label: who waits here waits for what the last stage to arrive was doing.
  const sim::LaneId all_stages =
      g_.add_lane({.name = "all stages", .device = device_of(0), .kind = sim::LaneKind::communication});
  if (replica_ == 0) step_.all_stages = all_stages;
  const auto together = [&](const Message& m, WorkGroup group) {
    return g_.add_task(
        {.lane = all_stages, .label = data_label_, .duration = m.total, .payload = payload_of(m, group)});
  };
  TaskId embedding = kNone;
  if (costs_->embedding_reduce.total.count > 0) {
    embedding = together(costs_->embedding_reduce, WorkGroup::embedding);
    depend_on_gradients(gradients_ready_.front(), embedding);
    depend_on_gradients(gradients_ready_.back(), embedding);
  }
  // Every stage's optimizer waits for the norm of all gradients.
  const TaskId norm = together(costs_->norm_reduce, WorkGroup::model);
  for (const Ready& r : gradients_ready_) depend_on_gradients(r, norm);
  if (embedding != kNone) g_.add_dependency(embedding, norm);
  for (std::int32_t s = 0; s < plan_.pipeline; ++s) {
    const StageLanes& lanes = lanes_of(s);
    const StageCost& stage = costs_->stages[static_cast<std::size_t>(s)];
    TaskId previous = add_optimizer(s, norm);
    if (data_parallel() && (plan_.zero_stage == 1 || plan_.zero_stage == 2) && !gathers_ahead()) {
      for (std::int32_t b = 0; b < stage.data.buckets; ++b) {
        const TaskId gather = add_message(lanes.data, s, stage.data.gather, data_label_, WorkGroup::shard);
        g_.add_dependency(previous, gather);
        previous = gather;
      }
    }
  }
}

/// The optimizer's step on `stage` after `norm`; gives its last task.
Lowering::TaskId Lowering::add_optimizer(std::int32_t s, TaskId norm) {
  const sim::LaneId compute = lanes_of(s).compute;
  const StageCost& stage = costs_->stages[static_cast<std::size_t>(s)];
  if (!options_.kernels) {
    const TaskId task = g_.add_task({.lane = compute, .label = optimizer_label_, .duration = stage.optimizer});
    g_.add_dependency(norm, task);
    return task;
  }
  TaskId task = norm;
  for (const TimedKernel& k : optimizer_kernels(problem_, plan_, *costs_, stage.parameters)) {
    const TaskId next =
        g_.add_task({.lane = compute, .label = optimizer_label_, .duration = k.time, .payload = add_work(k.kernel)});
    g_.add_dependency(task, next);
    task = next;
  }
  return task;
}

void Lowering::depend_on_gradients(const Ready& r, TaskId task) {
  g_.add_dependency(r.reduced, task);
  if (r.last_pass != r.reduced) g_.add_dependency(r.last_pass, task);
}

}  // namespace foretrain
