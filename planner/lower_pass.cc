// One pass of one micro-batch through a chunk of layers: as one task, or kernel by kernel.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "planner/lowering.h"

namespace foretrain {

using sim::kNone;

void Lowering::add_pass(const PassState& p) {
  if (data_parallel() && plan_.zero_stage == 3) {
    add_sharded_pass(p);
  } else {
    add_whole_pass(p);
  }
  if (options_.memory) add_pass_memory(p);
}

void Lowering::add_whole_pass(const PassState& p) {
  const StageLanes& lanes = lanes_of(p.stage);
  const DataParallelCost& data = costs_->stages[static_cast<std::size_t>(p.stage)].data;
  const bool forward = p.pass.kind == sim::PassKind::forward;
  const bool reduces = !forward && data_parallel() && (reduces_each_time() || (plan_.overlap.data && p.last));
  const std::int32_t parts = reduces ? std::max(1, data.buckets / plan_.virtual_pipeline) : 1;
  for (std::int32_t i = 0; i < parts; ++i) {
    const TaskId waits_for = plan_.overlap.data ? kNone : last_reduce_;
    const TaskId from = g_.task_count();  // the part's first task, where it has any
    const TaskId task = add_part(p, i, parts);
    if (waits_for != kNone && g_.task_count() > from) g_.add_dependency(waits_for, first_on_compute(from, p.stage));
    if (reduces) {
      last_reduce_ = add_message(lanes.data, p.stage, data.reduce, data_label_, reduce_group());
      g_.add_dependency(task, last_reduce_);
    }
  }
  if (forward && p.first && !gathers_.empty()) {  // the parameters of this chunk have arrived
    const std::size_t needed = (static_cast<std::size_t>(p.pass.chunk) + 1) * gathers_.size() /
                               static_cast<std::size_t>(plan_.virtual_pipeline);
    g_.add_dependency(gathers_[std::max<std::size_t>(needed, 1) - 1], p.tasks->first);
  }
}

/// ZeRO-3: each layer's parameters are gathered before it runs, at most two layers ahead; its gradients are scattered
/// after its backward pass.
void Lowering::add_sharded_pass(const PassState& p) {
  const StageLanes& lanes = lanes_of(p.stage);
  const DataParallelCost& data = costs_->stages[static_cast<std::size_t>(p.stage)].data;
  const bool forward = p.pass.kind == sim::PassKind::forward;
  const std::int32_t layers = costs_->placement.layers[p.k];  // none where only embedding or head lie on the chunk
  const std::int32_t parts = std::max(1, layers);
  const bool ends = data.ends_gather.total.count > 0 && (p.k == 0 || p.k + 1 == costs_->placement.layers.size());
  const auto message = [&](const Message& m) {
    return add_message(lanes.data, p.stage, m, data_label_, WorkGroup::shard, p.pass.micro_batch);
  };
  std::vector<TaskId> computed;
  std::vector<TaskId> gathered;
  const auto gather = [&](std::int32_t i) {
    if (i >= layers) return;
    const TaskId g = message(data.layer_gather);
    if (i >= 2) g_.add_dependency(computed[static_cast<std::size_t>(i - 2)], g);
    if (i < 2 && t_before_ != kNone) g_.add_dependency(t_before_, g);
    gathered.push_back(g);
  };
  TaskId ends_gathered = kNone;
  if (ends) {
    ends_gathered = message(data.ends_gather);
    if (t_before_ != kNone) g_.add_dependency(t_before_, ends_gathered);
  }
  gather(0);
  gather(1);
  for (std::int32_t i = 0; i < parts; ++i) {
    const TaskId from = g_.task_count();  // the part's first task
    const TaskId task = add_part(p, i, parts);
    const TaskId needed = i < layers ? gathered[static_cast<std::size_t>(i)] : ends_gathered;
    if (needed != kNone) g_.add_dependency(needed, options_.kernels ? first_on_compute(from, p.stage) : task);
    computed.push_back(task);
    gather(i + 2);
    if (!forward && i < layers) {
      last_reduce_ = message(data.layer_reduce);
      g_.add_dependency(task, last_reduce_);
    }
  }
  if (ends && !forward) {
    last_reduce_ = message(data.ends_reduce);
    g_.add_dependency(p.tasks->last, last_reduce_);
  }
  t_before_ = computed[computed.size() >= 2 ? computed.size() - 2 : 0];
}

/// The first task from `from` on that runs on the stage's compute lane.
Lowering::TaskId Lowering::first_on_compute(TaskId from, std::int32_t stage) const {
  const sim::LaneId compute = lanes_of(stage).compute;
  while (g_.lane_of(from) != compute) ++from;
  return from;
}

/// Part `part` of `parts` of a pass; gives the task that ends it.
Lowering::TaskId Lowering::add_part(const PassState& p, std::int32_t part, std::int32_t parts) {
  const std::size_t i = static_cast<std::size_t>(part);
  if (!options_.kernels) {
    if (part == 0)
      parts_ = split((p.pass.kind == sim::PassKind::forward ? costs_->forward : costs_->backward)[p.k], parts);
    return add_block(p, parts_[i], parts == 1 ? static_cast<std::int32_t>(p.k) : part);
  }
  if (part == 0) part_blocks_ = blocks_of(p, parts);
  for (const BlockOps* block : part_blocks_[i]) add_ops(p, *block, part);
  if (p.tasks->last == kNone) add_ops(p, {}, part);  // fewer blocks than parts: nothing has run yet
  return p.tasks->last;
}

/// A block: launches before it may start on the GPU (alone - gpu), then the GPU lane, while the host goes on
/// launching the rest.
Lowering::TaskId Lowering::add_block(const PassState& p, const BlockCost& block, std::int32_t part) {
  const StageLanes& lanes = lanes_of(p.stage);
  const sim::LabelId label = (p.pass.kind == sim::PassKind::forward ? forward_labels_ : backward_labels_)[p.k];
  const Picoseconds lead = block.alone - block.gpu;
  if (synchronises() && owed_host_.count > 0) {  // launched before the host waits for the next message
    g_.add_task({.lane = lanes.host, .label = host_label_, .duration = owed_host_});
    owed_host_ = {};
  }
  const TaskId host = g_.add_task({.lane = lanes.host, .label = host_label_, .duration = owed_host_ + lead});
  owed_host_ = block.host - lead;
  FORETRAIN_CHECK(owed_host_.count >= 0);
  const TaskId task = g_.add_task(
      {.lane = lanes.compute, .label = label, .duration = block.gpu, .index = p.pass.micro_batch, .part = part});
  g_.add_dependency(host, task);
  if (p.tasks->first == kNone) {
    p.tasks->first = task;
    p.tasks->host = host;
  }
  p.tasks->last = task;
  return task;
}

/// A block, kernel by kernel.
Lowering::TaskId Lowering::add_ops(const PassState& p, const BlockOps& block, std::int32_t part) {
  const StageLanes& lanes = lanes_of(p.stage);
  const Seconds launch = launch_ahead(problem_, costs_->framework, block.backward);
  const std::vector<double>& slowdowns =
      p.pass.kind == sim::PassKind::forward ? costs_->forward_slowdown : costs_->backward_slowdown;
  std::vector<Picoseconds> times = block.times;
  if (!slowdowns.empty()) {
    for (Picoseconds& t : times) t.count = std::llround(static_cast<double>(t.count) * slowdowns[p.k]);
  }
  // A CUDA graph is launched at once: the host is in step with the GPU, but takes no time.
  TaskId graph_launch = kNone;
  if (launch.base() == 0) graph_launch = g_.add_task({.lane = lanes.host, .label = host_label_});
  const EmittedBlock emitted =
      emit_ops(g_, {.host = lanes.host, .compute = lanes.compute, .tensor = lanes.tensor, .context = lanes.context},
               {.labels = op_labels_,
                .host = host_label_,
                .index = p.pass.micro_batch,
                .part = part,
                .first_payload = block.first_payload,
                .after = p.tasks->last},
               block.ops, times, to_picoseconds(launch));
  if (graph_launch != kNone) g_.add_dependency(graph_launch, emitted.first);
  if (p.tasks->first == kNone) {
    p.tasks->first = emitted.first;
    p.tasks->host = graph_launch != kNone ? graph_launch : emitted.first_host;
  }
  p.tasks->last = emitted.last;
  return emitted.last;
}

/// The blocks of a pass in order, dealt to `parts`: layer by layer where there are as many parts as layers, embedding
/// and head with their neighbours; otherwise in equal runs.
std::vector<std::vector<const Lowering::BlockOps*>> Lowering::blocks_of(const PassState& p, std::int32_t parts) {
  const bool forward = p.pass.kind == sim::PassKind::forward;
  const std::int32_t layers = costs_->placement.layers[p.k];
  const std::int64_t recomputed = recomputed_layers(plan_, layers);
  std::vector<const BlockOps*> blocks;
  std::int32_t before = 0;  // blocks before the first layer
  const auto add_end = [&](bool present, BlockKind kind, bool leads) {
    if (!present) return;
    blocks.push_back(&block_ops_of(kind, false));
    before += leads ? 1 : 0;
  };
  const bool is_first = p.k == 0;
  const bool is_last = p.k + 1 == costs_->placement.layers.size();
  const auto add_extra = [&](const std::vector<Op>& ops, bool leads) {
    if (ops.empty()) return;
    blocks.push_back(extra_ops_of(ops, !forward));
    before += leads ? 1 : 0;
  };
  if (has_arrival(p.pass.kind, p.k))
    add_extra(forward ? costs_->blocks->forward_arrival : costs_->blocks->backward_arrival, true);
  add_end(forward ? is_first : is_last, forward ? BlockKind::embedding_forward : BlockKind::head_backward, true);
  for (std::int32_t i = 0; i < layers; ++i) {
    blocks.push_back(&block_ops_of(forward ? BlockKind::layer_forward : BlockKind::layer_backward,
                                   plan_.recompute == Recompute::full && i >= recomputed));
  }
  add_end(forward ? is_last : is_first, forward ? BlockKind::head_forward : BlockKind::embedding_backward, false);
  if (!forward) add_extra(costs_->gradient_sums[p.k], false);

  std::vector<std::vector<const BlockOps*>> dealt(static_cast<std::size_t>(parts));
  const std::int32_t count = static_cast<std::int32_t>(blocks.size());
  for (std::int32_t i = 0; i < count; ++i) {
    const std::int32_t part = parts == layers ? std::clamp(i - before, 0, parts - 1)
                                              : static_cast<std::int32_t>(std::int64_t{i} * parts / count);
    dealt[static_cast<std::size_t>(part)].push_back(blocks[static_cast<std::size_t>(i)]);
  }
  return dealt;
}

const Lowering::BlockOps& Lowering::block_ops_of(BlockKind kind, bool keeps_activations) {
  const std::pair<BlockKind, bool> key{kind, keeps_activations};
  for (const auto& [known, block] : block_ops_) {
    if (known == key) return block;
  }
  BlockShape shape = costs_->blocks->shape;
  if (keeps_activations) shape.recompute = Recompute::none;
  const bool backward =
      kind == BlockKind::layer_backward || kind == BlockKind::embedding_backward || kind == BlockKind::head_backward;
  block_ops_.emplace_back(key, timed_ops(block_ops(kind, problem_.model, shape, problem_.software,
                                                   problem_.training.precision, costs_->framework),
                                         shape, backward));
  return block_ops_.back().second;
}

const Lowering::BlockOps* Lowering::extra_ops_of(const std::vector<Op>& ops, bool backward) {
  for (const auto& [known, block] : extra_ops_) {
    if (known == &ops) return &block;
  }
  extra_ops_.emplace_back(&ops, timed_ops(ops, costs_->blocks->shape, backward));
  return &extra_ops_.back().second;
}

/// Times of `ops`, and what they do in the step's list of work.
Lowering::BlockOps Lowering::timed_ops(std::vector<Op> ops, const BlockShape& shape, bool backward) {
  BlockOps block;
  block.ops = std::move(ops);
  block.times = op_times(block.ops, shape, problem_, costs_->framework, backward);
  block.backward = backward;
  block.first_payload = static_cast<std::int32_t>(step_.work.size());
  for (const Op& op : block.ops) {
    if (const auto* kernel = std::get_if<Kernel>(&op.work)) {
      add_work(*kernel);
    } else if (const auto* call = std::get_if<CollectiveCall>(&op.work)) {
      add_work(MessageWork{call->op, static_cast<std::int64_t>(call->size.base()),
                           call->group == GroupKind::context ? WorkGroup::context : WorkGroup::tensor});
    } else {
      add_work(Kernel{MemoryKernel{}});  // a join: keeps payloads in step with operations, never referred to
    }
  }
  return block;
}

void Lowering::add_pass_memory(const PassState& p) {
  const PassMemory m = pass_memory(plan_, *costs_, p.k);
  const TaskId first = p.tasks->first;
  const TaskId last = p.tasks->last;
  const auto effect = [&](TaskId task, std::string_view label, bool at_end, std::int64_t amount) {
    if (amount == 0) return;
    g_.add_memory_effect({.task = task, .label = g_.memory_label(label), .at_end = at_end, .bytes = amount});
  };
  const bool forward = p.pass.kind == sim::PassKind::forward;
  const std::int64_t working = forward ? m.forward_working : m.backward_working;
  effect(first, "temporary", false, working);
  effect(last, "temporary", true, -working);
  const std::int64_t logits = forward ? m.forward_logits : m.backward_logits;
  effect(first, "logits", false, logits);
  effect(last, "logits", true, -logits);
  if (forward) {
    effect(first, "activations", false, m.activations);
    effect(first, "logits", false, m.logits);
  } else {
    effect(last, "activations", true, -m.activations);
    effect(last, "logits", true, -m.logits);
  }
}

std::vector<BlockCost> split(const BlockCost& block, std::int32_t count) {
  std::vector<BlockCost> parts(static_cast<std::size_t>(count));
  const auto share = [&](Picoseconds whole, std::int32_t i) {
    return Picoseconds{whole.count * (i + 1) / count - whole.count * i / count};
  };
  Picoseconds before;  // what the others add to `alone` of the whole
  for (std::int32_t i = 0; i < count; ++i) {
    BlockCost& p = parts[static_cast<std::size_t>(i)];
    p.gpu = share(block.gpu, i);
    p.host = share(block.host, i);
    for (std::size_t l = 0; l < p.by_label.size(); ++l) p.by_label[l] = share(block.by_label[l], i);
    if (i > 0) before += std::max(p.gpu, p.host);
  }
  // Equal parts in a row take alone_part + (count - 1) max(gpu, host) from an idle start.
  for (BlockCost& p : parts) p.alone = std::clamp(block.alone - before, p.gpu, p.gpu + p.host);
  return parts;
}

}  // namespace foretrain
