#include "sim/fluid_network.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/check.h"

namespace foretrain::sim {
namespace {

/// Rates closer than this (relative) are one rate: links that fill at the same level in exact arithmetic give their
/// flows the same bits, so that equal flows end at one instant. Rounding of sums of 1e4 shares stays below it.
constexpr double kSameRate = 1e-12;
/// Slack by which a bound on rates is lowered against rounding before flows are left out for it.
constexpr double kBoundSlack = 1e-9;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// When `bytes` are through at `rate` from `now` on.
TimePoint completion(TimePoint now, double bytes, double rate) {
  const Seconds left = Seconds::from_base(bytes / rate);
  if (left > kLongestSimulatedTime) throw std::overflow_error("a flow would take more than 30 days");
  return now + to_picoseconds(left);
}

}  // namespace

FluidNetwork::FluidNetwork(const std::vector<BytesPerSecond>& capacities) : links_(capacities.size()) {
  for (std::size_t i = 0; i < capacities.size(); ++i) {
    FORETRAIN_CHECK(capacities[i].base() > 0);
    links_[i].capacity = capacities[i].base();
  }
}

FlowSlot FluidNetwork::start(std::int32_t payload, Bytes size, BytesPerSecond rate_limit,
                             std::span<const LinkUse> uses) {
  FORETRAIN_CHECK(size.base() > 0 && (rate_limit.base() > 0 || !uses.empty()));
  FlowSlot slot = static_cast<FlowSlot>(flows_.size());
  if (free_slots_.empty()) {
    flows_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Flow& f = flow(slot);
  f.uses = uses;
  f.places.clear();
  f.rate = 0;
  f.limit = rate_limit.base() > 0 ? rate_limit.base() : kInfinity;
  f.remaining = size.base();
  f.number = flows_begun_++;
  f.payload = payload;
  f.heap_place = kNone;
  for (std::size_t u = 0; u < uses.size(); ++u) {
    std::vector<Member>& members = link(uses[u].link).members;
    f.places.push_back(static_cast<std::int32_t>(members.size()));
    members.push_back({slot, static_cast<std::int32_t>(u), uses[u].weight});
  }
  new_flows_.push_back(slot);
  return slot;
}

std::int32_t FluidNetwork::pop_completion() {
  const FlowSlot slot = due_.front();
  set_heap_place(0, due_.back());
  due_.pop_back();
  if (!due_.empty()) sift_down(0);
  Flow& f = flow(slot);
  for (std::size_t u = 0; u < f.uses.size(); ++u) {
    SharedLink& l = link(f.uses[u].link);
    const Member moved = l.members.back();
    l.members[static_cast<std::size_t>(f.places[u])] = moved;
    flow(moved.flow).places[static_cast<std::size_t>(moved.use)] = f.places[u];
    l.members.pop_back();
    if (!l.members.empty()) left_links_.push_back(f.uses[u].link);
  }
  lowest_left_rate_ = std::min(lowest_left_rate_, f.rate);
  flows_left_ = true;
  free_slots_.push_back(slot);
  return f.payload;
}

// Filling raises all rates together from 0 and settles a flow when its limit or a full link stops it. Up to the rate
// at which a completed flow was settled, or a new one can first be, the filling goes as it went before the change: its
// links were not full and are not now. So flows with lower rates keep them, and only those above that are joined to a
// change by links and such flows are filled again, from that rate on.
void FluidNetwork::share(TimePoint now) {
  if (!changed()) return;
  const double from_rate = lowest_changed_rate() * (1 - kBoundSlack);
  collect(from_rate);
  fill(from_rate, now);
  for (const FlowSlot slot : collected_flows_) flow(slot).collected = false;
  for (const LinkId id : collected_links_) link(id).collected = false;
  new_flows_.clear();
  left_links_.clear();
  lowest_left_rate_ = kInfinity;
  flows_left_ = false;
}

/// The lowest rate that a completed flow had or that a new one can get: its limit, or the level of its links with
/// nobody settled before.
double FluidNetwork::lowest_changed_rate() {
  double lowest = lowest_left_rate_;
  for (const FlowSlot slot : new_flows_) {
    lowest = std::min(lowest, flow(slot).limit);
    for (const LinkUse& use : flow(slot).uses) {
      SharedLink& l = link(use.link);
      if (l.collected) continue;
      l.collected = true;
      collected_links_.push_back(use.link);
      double weight = 0;
      for (const Member& member : l.members) weight += member.weight;
      lowest = std::min(lowest, l.capacity / weight);
    }
  }
  for (const LinkId id : collected_links_) link(id).collected = false;
  collected_links_.clear();
  return lowest;
}

void FluidNetwork::collect_link(LinkId id) {
  SharedLink& l = link(id);
  if (l.collected) return;
  l.collected = true;
  collected_links_.push_back(id);
}

void FluidNetwork::collect_flow(FlowSlot slot) {
  Flow& f = flow(slot);
  if (f.collected) return;
  f.collected = true;
  f.unsettled = true;
  collected_flows_.push_back(slot);
  for (const LinkUse& use : f.uses) collect_link(use.link);
}

/// Finds the flows to fill again and their links, and what these links have left for them.
void FluidNetwork::collect(double from_rate) {
  collected_flows_.clear();
  for (const FlowSlot slot : new_flows_) collect_flow(slot);
  for (const LinkId id : left_links_) collect_link(id);
  for (std::size_t i = 0; i < collected_links_.size(); ++i) {  // grows on the way
    SharedLink& l = link(collected_links_[i]);
    l.free = l.capacity;
    l.unsettled_weight = 0;
    l.unsettled_members = 0;
    for (const Member& member : l.members) {
      const Flow& f = flow(member.flow);
      if (f.collected || f.rate >= from_rate) {
        l.unsettled_weight += member.weight;
        ++l.unsettled_members;
        collect_flow(member.flow);
      } else {
        l.free -= member.weight * f.rate;
      }
    }
  }
}

/// The link that fills first, its level brought up to date. False when none has an unsettled flow.
bool FluidNetwork::lowest_level(Level& level) {
  const auto later = [](const Level& a, const Level& b) {
    return a.rate != b.rate ? a.rate > b.rate : a.link > b.link;
  };
  while (!levels_.empty()) {
    const SharedLink& l = link(levels_.front().link);
    if (l.unsettled_members > 0 && l.level() <= levels_.front().rate) {
      level = levels_.front();
      return true;
    }
    std::pop_heap(levels_.begin(), levels_.end(), later);
    if (l.unsettled_members == 0) {
      levels_.pop_back();
    } else {
      levels_.back().rate = l.level();
      std::push_heap(levels_.begin(), levels_.end(), later);
    }
  }
  return false;
}

void FluidNetwork::fill(double from_rate, TimePoint now) {
  levels_.clear();
  for (const LinkId id : collected_links_)
    if (link(id).unsettled_members > 0) levels_.push_back({link(id).level(), id});
  std::make_heap(levels_.begin(), levels_.end(),
                 [](const Level& a, const Level& b) { return a.rate != b.rate ? a.rate > b.rate : a.link > b.link; });
  limits_.clear();
  for (const FlowSlot slot : collected_flows_)
    if (flow(slot).limit < kInfinity) limits_.push_back({flow(slot).limit, flow(slot).number, slot});
  std::sort(limits_.begin(), limits_.end(),
            [](const Limit& a, const Limit& b) { return a.rate != b.rate ? a.rate < b.rate : a.number < b.number; });

  double reached = from_rate;
  std::size_t next_limit = 0;
  std::size_t unsettled = collected_flows_.size();
  while (unsettled > 0) {
    while (next_limit < limits_.size() && !flow(limits_[next_limit].flow).unsettled) ++next_limit;
    Level level{kInfinity, kNone};
    const bool link_fills = lowest_level(level);
    if (next_limit < limits_.size() && (!link_fills || limits_[next_limit].rate <= level.rate)) {
      reached = std::max(reached, limits_[next_limit].rate);
      settle(limits_[next_limit].flow, limits_[next_limit].rate, now);
      --unsettled;
      continue;
    }
    FORETRAIN_CHECK(link_fills);
    if (level.rate > reached * (1 + kSameRate)) reached = level.rate;
    for (const Member& member : link(level.link).members) {
      if (!flow(member.flow).unsettled) continue;
      settle(member.flow, std::min(reached, flow(member.flow).limit), now);
      --unsettled;
    }
  }
}

/// Gives a flow its rate, takes it from its links, and moves its completion.
void FluidNetwork::settle(FlowSlot slot, double rate, TimePoint now) {
  Flow& f = flow(slot);
  f.unsettled = false;
  const bool is_new = f.heap_place == kNone;
  const bool same = !is_new && std::abs(rate - f.rate) <= kSameRate * f.rate;
  if (same) rate = f.rate;
  for (const LinkUse& use : f.uses) {
    SharedLink& l = link(use.link);
    l.free -= use.weight * rate;
    l.unsettled_weight -= use.weight;
    --l.unsettled_members;
  }
  if (same) return;
  if (log_ != nullptr) log_->push_back({now, f.payload, BytesPerSecond::from_base(rate)});
  if (!is_new) f.remaining = std::max(0.0, f.remaining - f.rate * to_seconds(now - f.since).base());
  f.since = now;
  f.rate = rate;
  f.due = completion(now, f.remaining, rate);
  if (is_new) {
    due_.push_back(slot);
    set_heap_place(due_.size() - 1, slot);
  }
  const auto place = static_cast<std::size_t>(f.heap_place);
  sift_up(place);
  sift_down(static_cast<std::size_t>(f.heap_place));
}

bool FluidNetwork::is_due_before(FlowSlot a, FlowSlot b) const {
  return flow(a).due != flow(b).due ? flow(a).due < flow(b).due : flow(a).number < flow(b).number;
}

void FluidNetwork::set_heap_place(std::size_t place, FlowSlot slot) {
  due_[place] = slot;
  flow(slot).heap_place = static_cast<std::int32_t>(place);
}

void FluidNetwork::sift_up(std::size_t place) {
  const FlowSlot slot = due_[place];
  while (place > 0 && is_due_before(slot, due_[(place - 1) / 2])) {
    set_heap_place(place, due_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  set_heap_place(place, slot);
}

void FluidNetwork::sift_down(std::size_t place) {
  const FlowSlot slot = due_[place];
  while (2 * place + 1 < due_.size()) {
    std::size_t child = 2 * place + 1;
    if (child + 1 < due_.size() && is_due_before(due_[child + 1], due_[child])) ++child;
    if (!is_due_before(due_[child], slot)) break;
    set_heap_place(place, due_[child]);
    place = child;
  }
  set_heap_place(place, slot);
}

}  // namespace foretrain::sim
