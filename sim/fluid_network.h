/// Flows that share links: every flow gets its weighted max-min fair rate, at every instant.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/time_point.h"
#include "base/units.h"
#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain::sim {

/// An instant that never comes: no flow will complete.
inline constexpr TimePoint kNever{std::numeric_limits<std::int64_t>::max()};

/// A flow that is under way, by its place in the network; reused once it has completed.
using FlowSlot = std::int32_t;

/// Rates r of the flows are max-min fair: no flow can be given more without taking from one that has no more than it,
///
///     subject to  sum over flows of weight(flow, link) r(flow) <= capacity(link),  r(flow) <= rate_limit(flow).
///
/// Derivation and limits: docs/models/network.md.
class FluidNetwork {
 public:
  /// `capacities` [link], each above 0.
  explicit FluidNetwork(const std::vector<BytesPerSecond>& capacities);

  /// A flow of `size` > 0 begins; it moves nothing before the next share(). `uses` must outlive it; links may repeat.
  /// A `rate_limit` of 0 is none, and then `uses` must not be empty. `payload` is the caller's own number.
  FlowSlot start(std::int32_t payload, Bytes size, BytesPerSecond rate_limit, std::span<const LinkUse> uses);

  /// From now on every new rate is added to `log`, which must outlive the network; payloads are its tasks.
  void record(std::vector<RateChange>& log) { log_ = &log; }

  /// Flows have begun or completed since the last share().
  [[nodiscard]] bool changed() const { return flows_left_ || !new_flows_.empty(); }
  /// Recomputes the rates that the changes since the last call can have moved. Needs now >= the last call's.
  void share(TimePoint now);

  /// When the next flow is through, as things stand; kNever when none is under way.
  [[nodiscard]] TimePoint next_completion() const { return due_.empty() ? kNever : flow(due_.front()).due; }
  /// Ends the flow that is through next (of several at one instant, the one that began first); gives its payload.
  std::int32_t pop_completion();

  [[nodiscard]] BytesPerSecond rate(FlowSlot slot) const { return BytesPerSecond::from_base(flow(slot).rate); }
  [[nodiscard]] std::size_t flow_count() const { return due_.size() + new_flows_.size(); }

 private:
  struct Flow {
    std::span<const LinkUse> uses;
    std::vector<std::int32_t> places;  ///< [use] index in its link's members
    double rate = 0;                   ///< bytes/s
    double limit = 0;                  ///< bytes/s, infinity when none
    double remaining = 0;              ///< bytes, at `since`
    TimePoint since;                   ///< when `remaining` was last brought up to date
    TimePoint due;                     ///< when it is through at this rate
    std::int64_t number = 0;           ///< how many flows began before it
    std::int32_t payload = 0;
    std::int32_t heap_place = kNone;  ///< index in due_
    bool unsettled = false;           ///< while sharing: has no new rate yet
    bool collected = false;           ///< while sharing: is to get a new rate
  };
  /// One use of a link by a flow.
  struct Member {
    FlowSlot flow;
    std::int32_t use;
    double weight;
  };
  struct SharedLink {
    double capacity = 0;  ///< bytes/s
    std::vector<Member> members;
    // While sharing:
    bool collected = false;  ///< some of its flows are to get new rates
    double free = 0;         ///< bytes/s that no settled flow takes
    double unsettled_weight = 0;
    std::int32_t unsettled_members = 0;
    /// The rate at which it would be full if all unsettled flows rose alike. Never falls as flows settle.
    [[nodiscard]] double level() const { return free > 0 ? free / unsettled_weight : 0; }
  };
  struct Level {
    double rate;
    LinkId link;
  };
  struct Limit {
    double rate;
    std::int64_t number;
    FlowSlot flow;
  };

  Flow& flow(FlowSlot slot) { return flows_[static_cast<std::size_t>(slot)]; }
  [[nodiscard]] const Flow& flow(FlowSlot slot) const { return flows_[static_cast<std::size_t>(slot)]; }
  SharedLink& link(LinkId id) { return links_[static_cast<std::size_t>(id)]; }

  [[nodiscard]] double lowest_changed_rate();
  void collect(double from_rate);
  void collect_link(LinkId id);
  void collect_flow(FlowSlot slot);
  void fill(double from_rate, TimePoint now);
  [[nodiscard]] bool lowest_level(Level& level);
  void settle(FlowSlot slot, double rate, TimePoint now);

  [[nodiscard]] bool is_due_before(FlowSlot a, FlowSlot b) const;
  void set_heap_place(std::size_t place, FlowSlot slot);
  void sift_up(std::size_t place);
  void sift_down(std::size_t place);

  std::vector<Flow> flows_;
  std::vector<FlowSlot> free_slots_;
  std::vector<SharedLink> links_;
  std::vector<FlowSlot> due_;  ///< binary heap of the flows under way by (due, number)
  std::int64_t flows_begun_ = 0;
  std::vector<RateChange>* log_ = nullptr;
  // What changed since the last share().
  std::vector<FlowSlot> new_flows_;
  std::vector<LinkId> left_links_;  ///< links that a completed flow has left
  double lowest_left_rate_ = std::numeric_limits<double>::infinity();
  bool flows_left_ = false;
  // Scratch of share(), kept to avoid allocation.
  std::vector<FlowSlot> collected_flows_;
  std::vector<LinkId> collected_links_;
  std::vector<Level> levels_;  ///< heap, lowest rate first; rates may be out of date, then too low
  std::vector<Limit> limits_;  ///< ascending
};

}  // namespace foretrain::sim
