#include "planner/lower.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "planner/memory.h"

namespace foretrain {
namespace {

using sim::kNone;
using sim::TaskId;

/// Where ranks' time may go besides kTimeLabelNames.
constexpr std::string_view kPipelineBubble = "pipeline_bubble";
constexpr std::string_view kDataExposed = "data_exposed";
constexpr std::string_view kOptimizer = "optimizer";
constexpr std::string_view kHost = "host";

class Lowering {
 public:
  Lowering(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
           const LowerOptions& options)
      : problem_(problem), plan_(plan), costs_(costs), moments_(moments), options_(options), g_(step_.graph) {}

  StepGraph run() {
    const std::size_t virtual_stages = costs_.placement.layers.size();
    passes_.resize(2 * virtual_stages * static_cast<std::size_t>(costs_.micro_batches));
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) add_device(s);
    make_labels();
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) {
      if (options_.memory) add_static_memory(s);
      add_stage(s);
    }
    link_stages();
    finish_step();
    return std::move(step_);
  }

 private:
  /// One pass's tasks: what may start it, and what ends it.
  struct PassTasks {
    TaskId first = kNone, last = kNone;  ///< first and last compute task
    TaskId host = kNone;                 ///< first host task
    TaskId arrival = kNone;              ///< the message it waits for
    TaskId next_start = kNone;           ///< first task of this stage's next pass (host task when the host waits)
    TaskId previous_end = kNone;         ///< last compute task of this stage's pass before
  };

  PassTasks& tasks(sim::PassKind kind, std::size_t k, std::int32_t micro_batch) {
    const std::size_t direction = kind == sim::PassKind::forward ? 0 : 1;
    return passes_[(direction * costs_.placement.layers.size() + k) * static_cast<std::size_t>(costs_.micro_batches) +
                   static_cast<std::size_t>(micro_batch)];
  }
  [[nodiscard]] std::size_t virtual_stage(std::int32_t s, std::int32_t chunk) const {
    return static_cast<std::size_t>(chunk) * static_cast<std::size_t>(plan_.pipeline) + static_cast<std::size_t>(s);
  }

  void add_device(std::int32_t s) {
    const sim::DeviceId d =
        g_.add_device({.name = "stage " + std::to_string(s), .multiplicity = gpus_used(plan_) / plan_.pipeline});
    const auto wait = [&](std::string_view part) { return label_of_part(part); };
    StageLanes lanes;
    lanes.host = g_.add_lane({.name = "host", .device = d, .kind = sim::LaneKind::host, .wait_label = wait(kHost)});
    lanes.compute = g_.add_lane(
        {.name = "compute", .device = d, .kind = sim::LaneKind::compute, .wait_label = wait(kPipelineBubble)});
    lanes.forward_transfer = g_.add_lane({.name = "receive forward",
                                          .device = d,
                                          .kind = sim::LaneKind::communication,
                                          .wait_label = wait(kPipelineBubble)});
    lanes.backward_transfer = g_.add_lane({.name = "receive backward",
                                           .device = d,
                                           .kind = sim::LaneKind::communication,
                                           .wait_label = wait(kPipelineBubble)});
    lanes.data = g_.add_lane(
        {.name = "data parallel", .device = d, .kind = sim::LaneKind::communication, .wait_label = wait(kDataExposed)});
    step_.lanes.push_back(lanes);
    const BytesPerSecond capacity = fastest_message(costs_.stages[static_cast<std::size_t>(s)].data);
    routes_.push_back(capacity.base() > 0
                          ? g_.add_route({{.link = g_.add_link(
                                               {.name = "stage " + std::to_string(s) + " nic", .capacity = capacity})}})
                          : kNone);
  }

  /// A GPU's share of the NICs is as fast as the fastest message that uses it alone.
  [[nodiscard]] BytesPerSecond fastest_message(const DataParallelCost& d) const {
    BytesPerSecond most = costs_.transfer.rate;
    for (const Message* m :
         {&d.reduce, &d.replica_reduce, &d.gather, &d.layer_gather, &d.layer_reduce, &d.ends_gather, &d.ends_reduce}) {
      most = max(most, m->rate);
    }
    return most;
  }

  sim::LabelId label_of_part(std::string_view part) {
    for (std::size_t i = 0; i < simple_labels_.size(); ++i) {
      if (simple_labels_[i].first == part) return simple_labels_[i].second;
    }
    const sim::LabelId label = g_.add_label({.name = std::string(part), .parts = {{.part = g_.part(part)}}});
    simple_labels_.emplace_back(part, label);
    return label;
  }

  /// The parts of a block's time as a label.
  sim::LabelId label_of_block(std::string name, const BlockCost& block) {
    sim::Label label{.name = std::move(name), .parts = {}};
    for (std::size_t i = 0; i < block.by_label.size(); ++i) {
      if (block.by_label[i].count == 0) continue;
      label.parts.push_back(
          {.part = g_.part(kTimeLabelNames[i]),
           .fraction = static_cast<double>(block.by_label[i].count) / static_cast<double>(block.gpu.count)});
    }
    if (label.parts.empty()) label.parts.push_back({.part = g_.part(kTimeLabelNames[0])});
    return g_.add_label(std::move(label));
  }

  void make_labels() {
    data_label_ = label_of_part("data_parallel");
    transfer_label_ = label_of_part("pipeline_transfer");
    optimizer_label_ = label_of_part(kOptimizer);
    host_label_ = label_of_part(kHost);
    tensor_label_ = label_of_part("tensor_exposed");
    const std::size_t n = costs_.placement.layers.size();
    forward_labels_.resize(n);
    backward_labels_.resize(n);
    for (std::size_t k = 0; k < n; ++k) {
      forward_labels_[k] = label_of_block("forward", costs_.forward[k]);
      backward_labels_[k] = label_of_block("backward", costs_.backward[k]);
    }
  }

  void add_static_memory(std::int32_t s) {
    const MemoryAnatomy m = stage_memory(problem_, plan_, costs_, moments_, s);
    for (const MemoryLabel l : {MemoryLabel::parameters, MemoryLabel::gradients, MemoryLabel::optimizer,
                                MemoryLabel::communication, MemoryLabel::cuda_context, MemoryLabel::allocator}) {
      g_.add_static_memory(s, g_.memory_label(kMemoryLabelNames[static_cast<std::size_t>(l)]), m[l]);
    }
  }

  // --- one stage's passes ---------------------------------------------------------------------

  void add_stage(std::int32_t s) {
    const StageLanes& lanes = step_.lanes[static_cast<std::size_t>(s)];
    const StageCost& stage = costs_.stages[static_cast<std::size_t>(s)];
    owed_host_ = {};
    t_before_ = kNone;
    g_.add_task({.lane = lanes.host, .label = host_label_, .duration = to_picoseconds(costs_.framework.step_overhead)});
    gathers_.clear();
    if (gathers_ahead()) {
      for (std::int32_t b = 0; b < stage.data.buckets; ++b)
        gathers_.push_back(add_message(lanes.data, s, stage.data.gather, data_label_));
    }
    const std::vector<sim::Pass> order = schedule_of(plan_.schedule).order(pipeline_shape(plan_, costs_), s);
    TaskId previous_end = kNone;
    PassTasks* previous = nullptr;
    std::vector<std::int32_t> forwards_left(static_cast<std::size_t>(plan_.virtual_pipeline), costs_.micro_batches);
    std::vector<std::int32_t> backwards_left = forwards_left;
    last_reduce_ = kNone;
    for (const sim::Pass& pass : order) {
      const std::size_t k = virtual_stage(s, pass.chunk);
      PassTasks& t = tasks(pass.kind, k, pass.micro_batch);
      const bool forward = pass.kind == sim::PassKind::forward;
      std::int32_t& left = forward ? forwards_left[static_cast<std::size_t>(pass.chunk)]
                                   : backwards_left[static_cast<std::size_t>(pass.chunk)];
      const bool first = left == costs_.micro_batches;
      const bool last = --left == 0;
      if (has_arrival(pass.kind, k)) {
        t.arrival = add_message(forward ? lanes.forward_transfer : lanes.backward_transfer, s, costs_.transfer,
                                transfer_label_, pass.micro_batch);
      }
      add_pass(s, pass, k, t, first, last);
      t.previous_end = previous_end;
      if (t.arrival != kNone) {
        g_.add_dependency(t.arrival, synchronises() ? t.host : t.first);
        if (blocks_sender() && previous_end != kNone) g_.add_dependency(previous_end, t.arrival);
      }
      if (previous != nullptr) previous->next_start = synchronises() ? t.host : t.first;
      previous_end = t.last;
      previous = &t;
    }
    last_pass_.push_back(previous_end);
    finish_reductions(s, previous_end);
  }

  [[nodiscard]] bool has_arrival(sim::PassKind kind, std::size_t k) const {
    if (plan_.pipeline == 1) return false;
    return kind == sim::PassKind::forward ? k > 0 : k + 1 < costs_.placement.layers.size();
  }
  [[nodiscard]] bool blocks_sender() const {
    return !plan_.overlap.pipeline && plan_.schedule != ScheduleKind::interleaved;
  }
  [[nodiscard]] bool synchronises() const {
    return costs_.framework.pipeline_synchronises && plan_.pipeline > 1 && blocks_sender();
  }
  [[nodiscard]] bool data_parallel() const { return plan_.data * plan_.context > 1; }
  [[nodiscard]] bool gathers_ahead() const {
    return data_parallel() && (plan_.zero_stage == 1 || plan_.zero_stage == 2) &&
           costs_.framework.overlap_param_gather && plan_.overlap.data;
  }
  [[nodiscard]] bool reduces_each_time() const {
    return plan_.zero_stage >= 2 && costs_.framework.reduce_every_micro_batch;
  }

  void add_pass(std::int32_t s, const sim::Pass& pass, std::size_t k, PassTasks& t, bool first, bool last) {
    const StageLanes& lanes = step_.lanes[static_cast<std::size_t>(s)];
    const bool forward = pass.kind == sim::PassKind::forward;
    const BlockCost& cost = forward ? costs_.forward[k] : costs_.backward[k];
    const sim::LabelId label = forward ? forward_labels_[k] : backward_labels_[k];
    if (data_parallel() && plan_.zero_stage == 3) {
      add_sharded_pass(s, pass, k, t, cost, label);
    } else {
      const DataParallelCost& data = costs_.stages[static_cast<std::size_t>(s)].data;
      const bool reduces = !forward && data_parallel() && (reduces_each_time() || (plan_.overlap.data && last));
      const std::int32_t parts = reduces ? std::max(1, data.buckets / plan_.virtual_pipeline) : 1;
      for (const BlockCost& part : split(cost, parts)) {
        const TaskId task = add_block(lanes, part, label, t, pass, static_cast<std::int32_t>(k));
        if (!plan_.overlap.data && last_reduce_ != kNone) g_.add_dependency(last_reduce_, task);
        if (reduces) {
          last_reduce_ = add_message(lanes.data, s, data.reduce, data_label_);
          g_.add_dependency(task, last_reduce_);
        }
      }
      if (forward && first && !gathers_.empty()) {  // the parameters of this chunk have arrived
        const std::size_t needed = (static_cast<std::size_t>(pass.chunk) + 1) * gathers_.size() /
                                   static_cast<std::size_t>(plan_.virtual_pipeline);
        g_.add_dependency(gathers_[std::max<std::size_t>(needed, 1) - 1], t.first);
      }
    }
    if (options_.memory) add_pass_memory(pass, k, t);
  }

  /// ZeRO-3: each layer's parameters are gathered before it runs, at most two layers ahead; its gradients are scattered
  /// after its backward pass.
  void add_sharded_pass(std::int32_t s, const sim::Pass& pass, std::size_t k, PassTasks& t, const BlockCost& cost,
                        sim::LabelId label) {
    const StageLanes& lanes = step_.lanes[static_cast<std::size_t>(s)];
    const DataParallelCost& data = costs_.stages[static_cast<std::size_t>(s)].data;
    const bool forward = pass.kind == sim::PassKind::forward;
    const std::int32_t layers = costs_.placement.layers[k];  // none where only embedding or head lie on the chunk
    const std::vector<BlockCost> parts = split(cost, std::max(1, layers));
    const bool ends = data.ends_gather.total.count > 0 && (k == 0 || k + 1 == costs_.placement.layers.size());
    std::vector<TaskId> computed;
    std::vector<TaskId> gathered;
    const auto gather = [&](std::int32_t i) {
      if (i >= layers) return;
      const TaskId g = add_message(lanes.data, s, data.layer_gather, data_label_, pass.micro_batch);
      if (i >= 2) g_.add_dependency(computed[static_cast<std::size_t>(i - 2)], g);
      if (i < 2 && t_before_ != kNone) g_.add_dependency(t_before_, g);
      gathered.push_back(g);
    };
    TaskId ends_gathered = kNone;
    if (ends) {
      ends_gathered = add_message(lanes.data, s, data.ends_gather, data_label_, pass.micro_batch);
      if (t_before_ != kNone) g_.add_dependency(t_before_, ends_gathered);
    }
    gather(0);
    gather(1);
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(parts.size()); ++i) {
      const TaskId task = add_block(lanes, parts[static_cast<std::size_t>(i)], label, t, pass, i);
      const TaskId needed = i < layers ? gathered[static_cast<std::size_t>(i)] : ends_gathered;
      if (needed != kNone) g_.add_dependency(needed, task);
      computed.push_back(task);
      gather(i + 2);
      if (!forward && i < layers) {
        last_reduce_ = add_message(lanes.data, s, data.layer_reduce, data_label_, pass.micro_batch);
        g_.add_dependency(task, last_reduce_);
      }
    }
    if (ends && !forward) {
      last_reduce_ = add_message(lanes.data, s, data.ends_reduce, data_label_, pass.micro_batch);
      g_.add_dependency(t.last, last_reduce_);
    }
    t_before_ = computed[computed.size() >= 2 ? computed.size() - 2 : 0];
  }

  /// A block: launches before it may start on the GPU (alone - gpu), then the GPU lane, while the host goes on
  /// launching the rest.
  TaskId add_block(const StageLanes& lanes, const BlockCost& block, sim::LabelId label, PassTasks& t,
                   const sim::Pass& pass, std::int32_t part) {
    const Picoseconds lead = block.alone - block.gpu;
    if (synchronises() && owed_host_.count > 0) {  // launched before the host waits for the next message
      g_.add_task({.lane = lanes.host, .label = host_label_, .duration = owed_host_});
      owed_host_ = {};
    }
    const TaskId host = g_.add_task({.lane = lanes.host, .label = host_label_, .duration = owed_host_ + lead});
    owed_host_ = block.host - lead;
    FORETRAIN_CHECK(owed_host_.count >= 0);
    const TaskId task = g_.add_task(
        {.lane = lanes.compute, .label = label, .duration = block.gpu, .index = pass.micro_batch, .part = part});
    g_.add_dependency(host, task);
    if (t.first == kNone) {
      t.first = task;
      t.host = host;
    }
    t.last = task;
    return task;
  }

  void add_pass_memory(const sim::Pass& pass, std::size_t k, const PassTasks& t) {
    const PassMemory m = pass_memory(plan_, costs_, k);
    const sim::MemoryLabelId activations = g_.memory_label("activations");
    const sim::MemoryLabelId temporary = g_.memory_label("temporary");
    const sim::MemoryLabelId logits = g_.memory_label("logits");
    const auto effect = [&](TaskId task, sim::MemoryLabelId label, bool at_end, std::int64_t amount) {
      if (amount != 0) g_.add_memory_effect({.task = task, .label = label, .at_end = at_end, .bytes = amount});
    };
    const bool forward = pass.kind == sim::PassKind::forward;
    const std::int64_t working = forward ? m.forward_working : m.backward_working;
    effect(t.first, temporary, false, working);
    effect(t.last, temporary, true, -working);
    effect(t.first, logits, false, m.logits_working);
    effect(t.last, logits, true, -m.logits_working);
    if (forward) {
      effect(t.first, activations, false, m.activations);
      effect(t.first, logits, false, m.logits);
    } else {
      effect(t.last, activations, true, -m.activations);
      effect(t.last, logits, true, -m.logits);
    }
  }

  TaskId add_message(sim::LaneId lane, std::int32_t s, const Message& m, sim::LabelId label,
                     std::int32_t index = kNone) {
    const sim::RouteId route = routes_[static_cast<std::size_t>(s)];
    if (m.flow.base() <= 0 || route == kNone)
      return g_.add_task({.lane = lane, .label = label, .duration = m.total, .index = index});
    return g_.add_task({.lane = lane,
                        .label = label,
                        .duration = m.fixed,
                        .flow = m.flow,
                        .rate_limit = m.rate,
                        .route = route,
                        .index = index});
  }

  // --- between stages, and the end of the step --------------------------------------------------

  void link_stages() {
    if (plan_.pipeline == 1) return;
    const std::size_t n = costs_.placement.layers.size();
    for (const sim::PassKind kind : {sim::PassKind::forward, sim::PassKind::backward}) {
      for (std::size_t k = 0; k < n; ++k) {
        if (!has_arrival(kind, k)) continue;
        const std::size_t sender = kind == sim::PassKind::forward ? k - 1 : k + 1;
        for (std::int32_t m = 0; m < costs_.micro_batches; ++m) {
          const TaskId arrival = tasks(kind, k, m).arrival;
          const PassTasks& from = tasks(kind, sender, m);
          g_.add_dependency(from.last, arrival);
          if (blocks_sender() && from.next_start != kNone) g_.add_dependency(arrival, from.next_start);
        }
      }
    }
  }

  /// What is left to reduce once a stage's passes are done.
  void finish_reductions(std::int32_t s, TaskId last_pass) {
    const StageLanes& lanes = step_.lanes[static_cast<std::size_t>(s)];
    const StageCost& stage = costs_.stages[static_cast<std::size_t>(s)];
    TaskId ready = last_pass;
    const auto after = [&](TaskId next) {
      g_.add_dependency(ready, next);
      ready = next;
    };
    if (data_parallel()) {
      if (!plan_.overlap.data && plan_.zero_stage < 3 && !reduces_each_time()) {
        for (std::int32_t b = 0; b < stage.data.buckets; ++b)
          after(add_message(lanes.data, s, stage.data.reduce, data_label_));
      } else if (last_reduce_ != kNone) {
        ready = last_reduce_;
      }
      if (stage.data.replica_reduce.total.count > 0)
        after(add_message(lanes.data, s, stage.data.replica_reduce, data_label_));
    }
    if (stage.gradient_tail.count > 0) {
      const TaskId tail = g_.add_task({.lane = lanes.compute, .label = tensor_label_, .duration = stage.gradient_tail});
      after(tail);
    }
    gradients_ready_.push_back({ready, last_pass});
  }

  void finish_step() {
    // A lane of its own without a wait label: who waits here waits for what the last stage to arrive was doing.
    const sim::LaneId joint = g_.add_lane({.name = "all stages", .device = 0, .kind = sim::LaneKind::communication});
    TaskId embedding = kNone;
    if (costs_.embedding_reduce.count > 0) {
      embedding = g_.add_task({.lane = joint, .label = data_label_, .duration = costs_.embedding_reduce});
      depend_on_gradients(gradients_ready_.front(), embedding);
      depend_on_gradients(gradients_ready_.back(), embedding);
    }
    // Every stage's optimizer waits for the norm of all gradients.
    const TaskId norm = g_.add_task({.lane = joint, .label = data_label_, .duration = costs_.norm_reduce});
    for (const Ready& r : gradients_ready_) depend_on_gradients(r, norm);
    if (embedding != kNone) g_.add_dependency(embedding, norm);
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) {
      const StageLanes& lanes = step_.lanes[static_cast<std::size_t>(s)];
      const StageCost& stage = costs_.stages[static_cast<std::size_t>(s)];
      const TaskId optimizer =
          g_.add_task({.lane = lanes.compute, .label = optimizer_label_, .duration = stage.optimizer});
      g_.add_dependency(norm, optimizer);
      if (data_parallel() && (plan_.zero_stage == 1 || plan_.zero_stage == 2) && !gathers_ahead()) {
        TaskId previous = optimizer;
        for (std::int32_t b = 0; b < stage.data.buckets; ++b) {
          const TaskId gather = add_message(lanes.data, s, stage.data.gather, data_label_);
          g_.add_dependency(previous, gather);
          previous = gather;
        }
      }
    }
  }

  struct Ready {
    TaskId reduced, last_pass;
  };
  void depend_on_gradients(const Ready& r, TaskId task) {
    g_.add_dependency(r.reduced, task);
    if (r.last_pass != r.reduced) g_.add_dependency(r.last_pass, task);
  }

  const Problem& problem_;
  const Plan& plan_;
  const PlanCosts& costs_;
  PeakMoments& moments_;
  LowerOptions options_;
  StepGraph step_;
  sim::TaskGraph& g_;
  std::vector<sim::RouteId> routes_;  // [stage]
  std::vector<std::pair<std::string_view, sim::LabelId>> simple_labels_;
  sim::LabelId data_label_ = 0, transfer_label_ = 0, optimizer_label_ = 0, host_label_ = 0, tensor_label_ = 0;
  std::vector<sim::LabelId> forward_labels_, backward_labels_;  // [virtual stage]
  std::vector<PassTasks> passes_;
  std::vector<TaskId> gathers_;  // ZeRO-1/2 parameters of the stage being added
  std::vector<TaskId> last_pass_;
  std::vector<Ready> gradients_ready_;  // [stage]
  TaskId last_reduce_ = kNone;
  TaskId t_before_ = kNone;  // the layer before the last of the previous sharded pass
  Picoseconds owed_host_;    // launches of the last block that follow its start on the GPU
};

}  // namespace

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

StepGraph lower(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                const LowerOptions& options) {
  return Lowering(problem, plan, costs, moments, options).run();
}

}  // namespace foretrain
