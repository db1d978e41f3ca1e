#include "planner/lower.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "planner/group_health.h"
#include "planner/lowering.h"
#include "planner/memory.h"
#include "sim/schedules/schedules.h"

namespace foretrain {

using sim::kNone;

Lowering::Lowering(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas,
                   PeakMoments& moments, const LowerOptions& options)
    : problem_(problem), plan_(plan), replicas_(replicas), moments_(moments), options_(options), g_(step_.graph) {
  FORETRAIN_CHECK(!replicas.empty() && (replicas.size() == 1 || !options.kernels));
}

StepGraph Lowering::run() {
  if (options_.network != nullptr)
    for (sim::Link& port : options_.network->ports()) g_.add_link(std::move(port));
  block_ops_.reserve(16);  // addresses are kept
  for (std::size_t r = 0; r < replicas_.size(); ++r) {
    enter(r);
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) add_device(s);
  }
  for (std::size_t r = 0; r < replicas_.size(); ++r) {
    enter(r);
    const std::size_t virtual_stages = costs_->placement.layers.size();
    passes_.assign(2 * virtual_stages * static_cast<std::size_t>(costs_->micro_batches), {});
    if (exchanges_in_rounds()) rounds_.assign(passes_.size(), {});
    gradients_ready_.clear();
    make_labels();
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) {
      if (options_.memory) add_static_memory(s);
      add_stage(s);
    }
    link_stages();
    finish_step();
  }
  if (options_.network != nullptr) run_cells_in_step();
  return std::move(step_);
}

/// What follows is of replica `r`.
void Lowering::enter(std::size_t r) {
  replica_ = r;
  costs_ = replicas_[r].costs.get();
  first_device_ = r * static_cast<std::size_t>(plan_.pipeline);
}

std::size_t Lowering::pass_index(sim::PassKind kind, std::size_t k, std::int32_t micro_batch) const {
  const std::size_t direction = kind == sim::PassKind::forward ? 0 : 1;
  return (direction * costs_->placement.layers.size() + k) * static_cast<std::size_t>(costs_->micro_batches) +
         static_cast<std::size_t>(micro_batch);
}
Lowering::PassTasks& Lowering::tasks(sim::PassKind kind, std::size_t k, std::int32_t micro_batch) {
  return passes_[pass_index(kind, k, micro_batch)];
}

std::size_t Lowering::virtual_stage(std::int32_t stage, std::int32_t chunk) const {
  return static_cast<std::size_t>(chunk) * static_cast<std::size_t>(plan_.pipeline) + static_cast<std::size_t>(stage);
}

void Lowering::add_device(std::int32_t stage) {
  const SimulatedReplica& replica = replicas_[replica_];
  std::string name = "stage " + std::to_string(stage);
  if (options_.network != nullptr)
    name = "rank " + std::to_string(rank_of(stage)) + ", " + name;
  else if (!replica.name.empty())
    name += " of " + replica.name;
  const sim::DeviceId d = g_.add_device({.name = name, .multiplicity = replica.ranks});
  const auto lane = [&](std::string lane_name, sim::LaneKind kind, std::string_view wait) {
    return g_.add_lane({.name = std::move(lane_name), .device = d, .kind = kind, .wait_label = label_of_part(wait)});
  };
  StageLanes lanes;
  lanes.host = lane("host", sim::LaneKind::host, "host");
  lanes.compute = lane("compute", sim::LaneKind::compute, "pipeline_bubble");
  lanes.forward_transfer = lane("receive forward", sim::LaneKind::communication, "pipeline_bubble");
  lanes.backward_transfer = lane("receive backward", sim::LaneKind::communication, "pipeline_bubble");
  lanes.data = lane("data parallel", sim::LaneKind::communication, "data_exposed");
  if (options_.kernels) {
    lanes.tensor = lane("tensor parallel", sim::LaneKind::communication, "tensor_exposed");
    lanes.context = lane("context parallel", sim::LaneKind::communication, "context_exposed");
    lanes.forward_send = lane("send forward", sim::LaneKind::communication, "pipeline_bubble");
    lanes.backward_send = lane("send backward", sim::LaneKind::communication, "pipeline_bubble");
  }
  step_.lanes.push_back(lanes);
  StageNetwork network;
  if (options_.network != nullptr) {
    networks_.push_back(network);
    return;
  }
  const BytesPerSecond capacity = fastest_message(static_cast<std::size_t>(stage));
  const double oversubscription = problem_.cluster.network.oversubscription;
  if (capacity.base() > 0) {
    network.nic = g_.add_link({.name = name + " nic", .capacity = capacity});
    if (oversubscription > 1)
      network.up = g_.add_link({.name = name + " leaf up-link", .capacity = capacity / oversubscription});
  }
  networks_.push_back(std::move(network));
}

/// A GPU's share of the NICs is as fast as the fastest message that uses it alone, were it not for the up-links.
BytesPerSecond Lowering::fastest_message(std::size_t stage) const {
  const DataParallelCost& d = costs_->stages[stage].data;
  const double oversubscription = problem_.cluster.network.oversubscription;
  BytesPerSecond most;
  for (const Message* m :
       {&transfer_to(*costs_, stage, true), &transfer_to(*costs_, stage, false), &d.reduce, &d.replica_reduce,
        &d.gather, &d.layer_gather, &d.layer_reduce, &d.ends_gather, &d.ends_reduce}) {
    most = max(most, std::max(1.0, m->crossing * oversubscription) * m->rate);
  }
  return most;
}

/// The way of a flow of which `crossing` leaves its leaf; kNone where the stage has no network.
sim::RouteId Lowering::route_of(std::int32_t stage, double crossing) {
  StageNetwork& network = networks_[first_device_ + static_cast<std::size_t>(stage)];
  if (network.nic == kNone) return kNone;
  if (network.up == kNone) crossing = 0;
  for (const auto& [known, route] : network.routes)
    if (known == crossing) return route;
  std::vector<sim::LinkUse> uses{{.link = network.nic}};
  if (crossing > 0) uses.push_back({.link = network.up, .weight = crossing});
  const sim::RouteId route = g_.add_route(std::move(uses));
  network.routes.emplace_back(crossing, route);
  return route;
}

sim::LabelId Lowering::label_of_part(std::string_view part) {
  for (const auto& [name, label] : simple_labels_) {
    if (name == part) return label;
  }
  const sim::LabelId label = g_.add_label({.name = std::string(part), .parts = {{.part = g_.part(part)}}});
  simple_labels_.emplace_back(part, label);
  return label;
}

/// The parts of a block's time as a label.
sim::LabelId Lowering::label_of_block(std::string name, const BlockCost& block) {
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

void Lowering::make_labels() {
  data_label_ = label_of_part("data_parallel");
  transfer_label_ = label_of_part("pipeline_transfer");
  optimizer_label_ = label_of_part("optimizer");
  host_label_ = label_of_part("host");
  tensor_label_ = label_of_part("tensor_exposed");
  for (std::size_t i = 0; i < op_labels_.size(); ++i) op_labels_[i] = label_of_part(kTimeLabelNames[i]);
  if (options_.kernels) return;
  forward_labels_.clear();
  backward_labels_.clear();
  for (std::size_t k = 0; k < costs_->placement.layers.size(); ++k) {
    forward_labels_.push_back(label_of_block("forward", costs_->forward[k]));
    backward_labels_.push_back(label_of_block("backward", costs_->backward[k]));
  }
}

void Lowering::add_static_memory(std::int32_t stage) {
  const MemoryAnatomy m = stage_memory(problem_, plan_, *costs_, moments_, stage);
  for (const MemoryLabel l :
       {MemoryLabel::parameters, MemoryLabel::gradients, MemoryLabel::optimizer, MemoryLabel::gathered,
        MemoryLabel::workspace, MemoryLabel::communication, MemoryLabel::cuda_context, MemoryLabel::allocator}) {
    g_.add_static_memory(device_of(stage), g_.memory_label(kMemoryLabelNames[static_cast<std::size_t>(l)]), m[l]);
  }
}

void Lowering::add_stage(std::int32_t s) {
  const StageLanes& lanes = lanes_of(s);
  const StageCost& stage = costs_->stages[static_cast<std::size_t>(s)];
  owed_host_ = {};
  t_before_ = kNone;
  last_reduce_ = kNone;
  gathers_.clear();
  g_.add_task({.lane = lanes.host, .label = host_label_, .duration = to_picoseconds(costs_->framework.step_overhead)});
  for (std::int32_t b = 0; gathers_ahead() && b < stage.data.buckets; ++b) {
    gathers_.push_back(add_message(lanes.data, s, stage.data.gather, data_label_, WorkGroup::shard));
  }
  std::vector<std::int32_t> forwards_left(static_cast<std::size_t>(plan_.virtual_pipeline), costs_->micro_batches);
  std::vector<std::int32_t> backwards_left = forwards_left;
  PassTasks* previous = nullptr;
  const std::vector<sim::Pass> order = schedule_of(plan_.schedule).order(pipeline_shape(plan_, *costs_), s);
  for (const sim::Pass& pass : order) {
    const bool forward = pass.kind == sim::PassKind::forward;
    const std::size_t k = virtual_stage(s, pass.chunk);
    PassTasks& t = tasks(pass.kind, k, pass.micro_batch);
    std::int32_t& left = (forward ? forwards_left : backwards_left)[static_cast<std::size_t>(pass.chunk)];
    const bool first = left == costs_->micro_batches;
    const bool last = --left == 0;
    if (has_arrival(pass.kind, k)) {
      t.arrival = add_message(forward ? lanes.forward_transfer : lanes.backward_transfer, s,
                              transfer_to(*costs_, static_cast<std::size_t>(s), forward), transfer_label_,
                              forward ? WorkGroup::previous : WorkGroup::next, pass.micro_batch);
    }
    add_pass({.pass = pass, .stage = s, .k = k, .tasks = &t, .first = first, .last = last});
    if (options_.kernels && has_receiver(pass.kind, k)) {
      t.sent = add_message(forward ? lanes.forward_send : lanes.backward_send, s, costs_->transfer, transfer_label_,
                           forward ? WorkGroup::next : WorkGroup::previous, pass.micro_batch, true);
      g_.add_dependency(t.last, t.sent);
    }
    const TaskId start = synchronises() && t.host != kNone ? t.host : t.first;
    if (t.arrival != kNone) {
      g_.add_dependency(t.arrival, start);
      if (blocks_sender() && previous != nullptr) g_.add_dependency(previous->last, t.arrival);
    }
    if (previous != nullptr) previous->next_start = start;
    previous = &t;
  }
  if (exchanges_in_rounds()) note_rounds(s, order);
  finish_reductions(s, previous->last);
}

/// Megatron-LM's interleaved schedule without overlap (schedules.py: send_forward_recv_forward,
/// send_forward_backward_recv_forward_backward): a stage sends and receives after each pass of the warm-up and of the
/// end, and after each pair of a forward and a backward pass of the steady state.
void Lowering::note_rounds(std::int32_t stage, const std::vector<sim::Pass>& order) {
  const auto warm_up = static_cast<std::size_t>(sim::interleaved_warm_up(pipeline_shape(plan_, *costs_), stage));
  const auto at = [&](std::size_t i) {
    return pass_index(order[i].kind, virtual_stage(stage, order[i].chunk), order[i].micro_batch);
  };
  TaskId before = kNone;
  for (std::size_t i = 0, passes = 1; i < order.size(); i += passes) {
    passes = i >= warm_up && i + warm_up < order.size() ? 2 : 1;
    const std::size_t next = i + passes;
    const Round round{.before = before,
                      .first = passes_[at(i)].first,
                      .last = passes_[at(next - 1)].last,
                      .next = next < order.size() ? passes_[at(next)].first : kNone};
    for (std::size_t j = i; j < next; ++j) rounds_[at(j)] = round;
    before = round.last;
  }
}

bool Lowering::has_arrival(sim::PassKind kind, std::size_t k) const {
  if (plan_.pipeline == 1) return false;
  return kind == sim::PassKind::forward ? k > 0 : k + 1 < costs_->placement.layers.size();
}
/// Whether another stage waits for what this pass gives.
bool Lowering::has_receiver(sim::PassKind kind, std::size_t k) const {
  if (plan_.pipeline == 1) return false;
  return kind == sim::PassKind::forward ? k + 1 < costs_->placement.layers.size() : k > 0;
}
bool Lowering::blocks_sender() const { return !plan_.overlap.pipeline && plan_.schedule != ScheduleKind::interleaved; }
bool Lowering::exchanges_in_rounds() const {
  return !plan_.overlap.pipeline && plan_.schedule == ScheduleKind::interleaved && plan_.pipeline > 1;
}
bool Lowering::synchronises() const {
  return costs_->framework.pipeline_synchronises && plan_.pipeline > 1 && blocks_sender();
}
bool Lowering::data_parallel() const { return plan_.data * plan_.context > 1; }
bool Lowering::gathers_ahead() const {
  return data_parallel() && (plan_.zero_stage == 1 || plan_.zero_stage == 2) &&
         costs_->framework.overlap_param_gather && plan_.overlap.data;
}
/// A rank that keeps only its shard of the gradients must give the rest away after each micro-batch.
bool Lowering::reduces_each_time() const { return plan_.zero_stage >= 2; }
WorkGroup Lowering::reduce_group() const { return plan_.zero_stage == 0 ? WorkGroup::data : WorkGroup::shard; }

std::int32_t Lowering::add_work(Work work) {
  if (!options_.kernels) return kNone;
  step_.work.push_back(std::move(work));
  return static_cast<std::int32_t>(step_.work.size()) - 1;
}

/// What a message's task refers to: its Work in a kernel-level graph, otherwise the message itself.
std::int32_t Lowering::payload_of(const Message& m, WorkGroup group, bool sends) {
  if (options_.kernels) return add_work(MessageWork{m.op, std::llround(m.size.base()), group, sends});
  if (!options_.memory) return kNone;
  const auto [known, is_new] = message_numbers_.try_emplace(&m, static_cast<std::int32_t>(step_.messages.size()));
  if (is_new) step_.messages.push_back(m);
  return known->second;
}

Lowering::TaskId Lowering::add_message(sim::LaneId lane, std::int32_t stage, const Message& m, sim::LabelId label,
                                       WorkGroup group, std::int32_t index, bool sends) {
  if (is_shared() && lane == lanes_of(stage).data) return add_shared_message(stage, m, label, group, index);
  sim::TaskSpec task{.lane = lane, .label = label, .duration = m.total, .index = index};
  sim::RouteId route = kNone;
  if (m.flow.base() > 0)
    route =
        options_.network == nullptr ? route_of(stage, m.crossing) : arrival_route(stage, group == WorkGroup::previous);
  if (route != kNone) {
    task.duration = m.fixed;
    task.flow = m.flow;
    task.rate_limit = m.rate;
    task.route = route;
  }
  if (sends) task = {.lane = lane, .label = label, .index = index};  // its time is booked where it arrives
  task.payload = payload_of(m, group, sends);
  return g_.add_task(task);
}

void Lowering::link_stages() {
  if (plan_.pipeline == 1) return;
  const std::size_t n = costs_->placement.layers.size();
  for (const sim::PassKind kind : {sim::PassKind::forward, sim::PassKind::backward}) {
    for (std::size_t k = 0; k < n; ++k) {
      if (!has_arrival(kind, k)) continue;
      const std::size_t sender = kind == sim::PassKind::forward ? k - 1 : k + 1;
      for (std::int32_t m = 0; m < costs_->micro_batches; ++m) {
        const TaskId arrival = tasks(kind, k, m).arrival;
        const PassTasks& from = tasks(kind, sender, m);
        g_.add_dependency(options_.kernels ? from.sent : from.last, arrival);
        if (blocks_sender() && from.next_start != kNone) g_.add_dependency(arrival, from.next_start);
        if (exchanges_in_rounds()) link_rounds(kind, k, sender, m);
      }
    }
  }
}

/// A message goes over when sender and receiver have ended their rounds, and both wait for it.
void Lowering::link_rounds(sim::PassKind kind, std::size_t k, std::size_t sender, std::int32_t micro_batch) {
  const Round& gives = rounds_[pass_index(kind, sender, micro_batch)];
  const Round& takes = rounds_[pass_index(kind, k, micro_batch)];
  const TaskId arrival = tasks(kind, k, micro_batch).arrival;
  g_.add_dependency(gives.last, options_.kernels ? tasks(kind, sender, micro_batch).sent : arrival);
  if (takes.before != kNone) g_.add_dependency(takes.before, arrival);
  g_.add_dependency(arrival, takes.first);
  if (gives.next != kNone) g_.add_dependency(arrival, gives.next);
}

StepGraph lower(const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments,
                const LowerOptions& options) {
  // Not owned: it outlives the call.
  const SimulatedReplica all{
      .costs = {std::shared_ptr<const void>(), &costs}, .name = "", .ranks = gpus_used(plan) / plan.pipeline};
  return Lowering(problem, plan, {&all, 1}, moments, options).run();
}

StepGraph lower(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas,
                PeakMoments& moments, const LowerOptions& options) {
  return Lowering(problem, plan, replicas, moments, options).run();
}

}  // namespace foretrain
