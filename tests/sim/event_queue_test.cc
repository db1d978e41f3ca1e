#include "sim/event_queue.h"

#include <random>
#include <vector>

#include <doctest/doctest.h>

using namespace foretrain;
using namespace foretrain::sim;

TEST_CASE("events come out by time, and first in first out at equal times") {
  EventQueue queue;
  queue.push({5}, 0);
  queue.push({3}, 1);
  queue.push({5}, 2);
  queue.push({3}, 3);
  CHECK(queue.next_time() == TimePoint{3});
  CHECK(queue.pop().payload == 1);
  CHECK(queue.pop().payload == 3);
  // Pushed at the same time as 0 and 2, after them, and from a later "now".
  queue.push({5}, 4);
  CHECK(queue.pop().payload == 0);
  queue.push({5}, 5);
  CHECK(queue.pop().payload == 2);
  CHECK(queue.pop().payload == 4);
  CHECK(queue.pop().payload == 5);
  CHECK(queue.empty());
}

TEST_CASE("looking at the next time leaves room for an earlier event") {
  EventQueue queue;
  queue.push({100}, 0);
  CHECK(queue.next_time() == TimePoint{100});
  queue.push({60}, 1);
  CHECK(queue.next_time() == TimePoint{60});
  CHECK(queue.pop().payload == 1);
}

TEST_CASE("a hundred thousand random pushes and pops come out sorted, ties in the order of their push") {
  std::mt19937_64 random(1);
  EventQueue queue;
  std::vector<Event> popped;
  std::int64_t now = 0;
  std::int32_t pushed = 0;
  for (int step = 0; step < 100'000; ++step) {
    if (queue.empty() || random() % 5 < 3) {
      // Small steps make ties, large ones reach high buckets.
      const std::int64_t ahead = static_cast<std::int64_t>(random() % (random() % 8 == 0 ? 1'000'000'000'000 : 16));
      queue.push({now + ahead}, pushed++);
    } else {
      const Event event = queue.pop();
      CHECK(event.time.ps >= now);
      now = event.time.ps;
      popped.push_back(event);
    }
  }
  while (!queue.empty()) popped.push_back(queue.pop());
  REQUIRE(popped.size() == static_cast<std::size_t>(pushed));
  for (std::size_t i = 1; i < popped.size(); ++i) {
    const bool in_order = popped[i - 1].time < popped[i].time ||
                          (popped[i - 1].time == popped[i].time && popped[i - 1].payload < popped[i].payload);
    CHECK(in_order);
  }
}
