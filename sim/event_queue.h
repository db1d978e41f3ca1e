/// The pending events of the simulator: a monotone radix heap over integer time, first in first out at equal times.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/time_point.h"

namespace foretrain::sim {

/// What the queue holds: an instant and the caller's own number (a task).
struct Event {
  TimePoint time;
  std::int32_t payload = 0;
};

/// Earliest event first; equal times in the order of their push. Monotone: no event may be pushed before the last one
/// popped, which is what a simulation never does.
///
/// Bucket i > 0 holds the events whose time differs from the last popped time in bit i - 1 and in none above it; bucket
/// 0 those at that time. Popping from bucket i > 0 makes its earliest time the last one and deals the others to the
/// buckets below, so an event moves at most once per bit. Equal times always share a bucket, and dealing keeps their
/// order: no sequence number is stored. Source: Ahuja, Mehlhorn, Orlin, Tarjan, "Faster algorithms for the shortest
/// path problem", JACM 37(2), 1990, section 2 (one-level radix heap).
class EventQueue {
 public:
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Needs time >= the time of the last event popped.
  void push(TimePoint time, std::int32_t payload) {
    FORETRAIN_CHECK(time.ps >= last_);
    insert({time, payload});
    ++size_;
  }

  /// When the next event happens. Needs a non-empty queue.
  [[nodiscard]] TimePoint next_time() const {
    if (head_ < buckets_[0].size()) return {last_};
    return {earliest_[first_bucket()]};
  }

  /// Needs a non-empty queue.
  Event pop() {
    if (head_ == buckets_[0].size()) refill();
    --size_;
    return buckets_[0][head_++];
  }

 private:
  static constexpr std::size_t kBuckets = 64;

  [[nodiscard]] std::size_t bucket_of(std::int64_t time) const {
    return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(time ^ last_)));
  }
  /// The lowest bucket above 0 that holds an event.
  [[nodiscard]] std::size_t first_bucket() const { return static_cast<std::size_t>(std::countr_zero(occupied_)); }

  void insert(const Event& event) {
    const std::size_t b = bucket_of(event.time.ps);
    buckets_[b].push_back(event);
    if (b == 0) return;
    const std::uint64_t bit = std::uint64_t{1} << b;
    if ((occupied_ & bit) == 0 || event.time.ps < earliest_[b]) earliest_[b] = event.time.ps;
    occupied_ |= bit;
  }

  /// Moves the earliest events to bucket 0.
  void refill() {
    FORETRAIN_CHECK(occupied_ != 0);
    buckets_[0].clear();
    head_ = 0;
    const std::size_t from = first_bucket();
    last_ = earliest_[from];
    occupied_ &= ~(std::uint64_t{1} << from);
    for (const Event& event : buckets_[from]) insert(event);  // into lower buckets only
    buckets_[from].clear();
  }

  std::array<std::vector<Event>, kBuckets> buckets_;
  std::array<std::int64_t, kBuckets> earliest_{};  ///< [bucket] its earliest time, where occupied_ has its bit
  std::uint64_t occupied_ = 0;                     ///< bit b: bucket b > 0 holds events
  std::size_t head_ = 0;                           ///< first event of bucket 0 that is still pending
  std::int64_t last_ = 0;
  std::size_t size_ = 0;
};

}  // namespace foretrain::sim
