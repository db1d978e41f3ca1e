/// The lowering at work: what lower.cc, lower_pass.cc and lower_step_end.cc share.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "planner/emit_ops.h"
#include "planner/lower.h"

namespace foretrain {

/// Builds one StepGraph. Used once.
class Lowering {
 public:
  Lowering(const Problem& problem, const Plan& plan, std::span<const SimulatedReplica> replicas, PeakMoments& moments,
           const LowerOptions& options);
  StepGraph run();

 private:
  using TaskId = sim::TaskId;

  /// One pass's tasks: what may start it, and what ends it.
  struct PassTasks {
    TaskId first = sim::kNone, last = sim::kNone;  ///< first and last compute task
    TaskId host = sim::kNone;                      ///< first host task
    TaskId arrival = sim::kNone;                   ///< the message it waits for
    TaskId sent = sim::kNone;                      ///< kernel-level: the message it gives
    TaskId next_start = sim::kNone;  ///< first task of this stage's next pass (host task when the host waits)
  };
  /// The passes of a stage between two exchanges of messages, where compute waits for those.
  struct Round {
    TaskId before = sim::kNone, first = sim::kNone, last = sim::kNone;  ///< end of the round before; ends of this one
    TaskId next = sim::kNone;                                           ///< start of the next one
  };
  /// A pass while its tasks are added.
  struct PassState {
    sim::Pass pass;
    std::int32_t stage = 0;
    std::size_t k = 0;  ///< virtual stage
    PassTasks* tasks = nullptr;
    bool first = false, last = false;  ///< of its direction and chunk
  };
  /// The operations of a block, with their times and where their Work stands.
  struct BlockOps {
    std::vector<Op> ops;
    std::vector<Picoseconds> times;
    std::int32_t first_payload = sim::kNone;
    bool backward = false;
  };
  struct Ready {
    TaskId reduced, last_pass;
  };

  // lower.cc: devices, stages, messages between stages
  void enter(std::size_t replica);
  void add_device(std::int32_t stage);
  void make_labels();
  void add_static_memory(std::int32_t stage);
  void add_stage(std::int32_t stage);
  void link_stages();
  void note_rounds(std::int32_t stage, const std::vector<sim::Pass>& order);
  void link_rounds(sim::PassKind kind, std::size_t k, std::size_t sender, std::int32_t micro_batch);
  TaskId add_message(sim::LaneId lane, std::int32_t stage, const Message& m, sim::LabelId label, WorkGroup group,
                     std::int32_t index = sim::kNone, bool sends = false);
  void run_cells_in_step();
  sim::RouteId arrival_route(std::int32_t stage, bool forward);
  [[nodiscard]] std::int64_t rank_of(std::int32_t stage) const;
  /// Data-parallel collectives are tasks of several replicas.
  [[nodiscard]] bool is_shared() const { return replicas_.size() > 1 || options_.network != nullptr; }
  TaskId add_shared_message(std::int32_t stage, const Message& m, sim::LabelId label, WorkGroup group,
                            std::int32_t index);
  sim::RouteId shared_route(std::int32_t stage, bool over_replicas, std::int32_t gang, double crossing);
  [[nodiscard]] sim::DeviceId device_of(std::int32_t stage) const {
    return static_cast<sim::DeviceId>(first_device_) + stage;
  }
  [[nodiscard]] const StageLanes& lanes_of(std::int32_t stage) const {
    return step_.lanes[first_device_ + static_cast<std::size_t>(stage)];
  }
  std::int32_t add_work(Work work);
  std::int32_t payload_of(const Message& m, WorkGroup group, bool sends = false);
  sim::LabelId label_of_part(std::string_view part);
  sim::LabelId label_of_block(std::string name, const BlockCost& block);
  [[nodiscard]] std::size_t pass_index(sim::PassKind kind, std::size_t k, std::int32_t micro_batch) const;
  PassTasks& tasks(sim::PassKind kind, std::size_t k, std::int32_t micro_batch);
  [[nodiscard]] BytesPerSecond fastest_message(std::size_t stage) const;
  sim::RouteId route_of(std::int32_t stage, double crossing);
  [[nodiscard]] std::size_t virtual_stage(std::int32_t stage, std::int32_t chunk) const;
  [[nodiscard]] bool has_arrival(sim::PassKind kind, std::size_t k) const;
  [[nodiscard]] bool has_receiver(sim::PassKind kind, std::size_t k) const;
  [[nodiscard]] bool blocks_sender() const;
  [[nodiscard]] bool exchanges_in_rounds() const;
  [[nodiscard]] bool synchronises() const;
  [[nodiscard]] bool data_parallel() const;
  [[nodiscard]] bool gathers_ahead() const;
  [[nodiscard]] bool reduces_each_time() const;
  [[nodiscard]] WorkGroup reduce_group() const;

  // lower_pass.cc: one pass
  void add_pass(const PassState& p);
  void add_whole_pass(const PassState& p);
  void add_sharded_pass(const PassState& p);
  TaskId add_part(const PassState& p, std::int32_t part, std::int32_t parts);
  TaskId add_block(const PassState& p, const BlockCost& block, std::int32_t part);
  TaskId add_ops(const PassState& p, const BlockOps& block, std::int32_t part);
  [[nodiscard]] TaskId first_on_compute(TaskId from, std::int32_t stage) const;
  void add_pass_memory(const PassState& p);
  std::vector<std::vector<const BlockOps*>> blocks_of(const PassState& p, std::int32_t parts);
  const BlockOps& block_ops_of(BlockKind kind, bool keeps_activations);
  const BlockOps* extra_ops_of(const std::vector<Op>& ops, bool backward);
  BlockOps timed_ops(std::vector<Op> ops, const BlockShape& shape, bool backward);

  // lower_step_end.cc: reductions, norm, optimizer, gathers
  void finish_reductions(std::int32_t stage, TaskId last_pass);
  void finish_step();
  TaskId add_optimizer(std::int32_t stage, TaskId norm);
  void depend_on_gradients(const Ready& r, TaskId task);

  const Problem& problem_;
  const Plan& plan_;
  std::span<const SimulatedReplica> replicas_;
  const PlanCosts* costs_ = nullptr;  // of the replica at work
  std::size_t replica_ = 0;
  std::size_t first_device_ = 0;  // of this replica
  PeakMoments& moments_;
  LowerOptions options_;
  StepGraph step_;
  sim::TaskGraph& g_;
  /// One GPU's share of its node's NICs and of its leaf's up-links, and the routes over them so far.
  struct StageNetwork {
    sim::LinkId nic = sim::kNone, up = sim::kNone;
    std::vector<std::pair<double, sim::RouteId>> routes;  ///< by the part that leaves the leaf
  };
  std::vector<StageNetwork> networks_;  // [device]
  // Collectives that several replicas run together, in order: by stage, whether over replicas of shards, and gang. How
  // many of them each device has come to: by device.
  std::map<std::tuple<std::int32_t, bool, std::int32_t>, std::vector<TaskId>> shared_;
  std::map<std::pair<std::int32_t, bool>, std::size_t> next_shared_;
  std::map<std::tuple<std::int32_t, bool, std::int32_t, double>, sim::RouteId> shared_routes_;
  std::map<std::pair<sim::DeviceId, bool>, sim::RouteId> arrival_routes_;  // of ranks, by device and direction
  std::vector<std::pair<std::string_view, sim::LabelId>> simple_labels_;
  std::array<sim::LabelId, kTimeLabelNames.size()> op_labels_{};
  sim::LabelId data_label_ = 0, transfer_label_ = 0, optimizer_label_ = 0, host_label_ = 0, tensor_label_ = 0;
  std::vector<sim::LabelId> forward_labels_, backward_labels_;  // [virtual stage]
  std::vector<PassTasks> passes_;
  std::vector<Round> rounds_;                                               // of each pass, where exchanges_in_rounds()
  std::vector<std::pair<std::pair<BlockKind, bool>, BlockOps>> block_ops_;  // made when first asked for
  std::deque<std::pair<const std::vector<Op>*, BlockOps>> extra_ops_;       // of PlanCosts, beside the blocks
  std::vector<BlockCost> parts_;                                            // of the pass being added
  std::vector<std::vector<const BlockOps*>> part_blocks_;                   // the same, kernel by kernel
  std::vector<TaskId> gathers_;                                       // ZeRO-1/2 parameters of the stage being added
  std::vector<Ready> gradients_ready_;                                // [stage]
  std::unordered_map<const Message*, std::int32_t> message_numbers_;  // of PlanCosts, in step_.messages
  TaskId last_reduce_ = sim::kNone;
  TaskId t_before_ = sim::kNone;  // the layer before the last of the previous sharded pass
  Picoseconds owed_host_;         // launches of the last block that follow its start on the GPU
};

}  // namespace foretrain
