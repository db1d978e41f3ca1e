#include "sim/fluid_network.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "tests/sim/slow_sharing.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

constexpr BytesPerSecond kNoLimit{};
constexpr std::int64_t kSecond = 1'000'000'000'000;

struct Live {
  SlowFlow flow;
  FlowSlot slot = kNone;
};

struct Net {
  explicit Net(const std::vector<double>& gigabytes_per_second)
      : capacities(gigabytes_per_second), network([&] {
          std::vector<BytesPerSecond> all;
          for (const double c : gigabytes_per_second) all.push_back(c * GB_per_s);
          return all;
        }()) {}
  std::vector<double> capacities;
  FluidNetwork network;
  double rate(FlowSlot slot) const { return network.rate(slot) / GB_per_s; }
};

}  // namespace

TEST_CASE("two flows share a link equally, and the second has it all once the first is through") {
  // 100 GB/s. 50 GB and 100 GB: both at 50 GB/s until 1 s; the 50 GB left take 0.5 s at 100 GB/s.
  Net net({100});
  const std::vector<LinkUse> route{{0, 1}};
  net.network.start(7, 50 * GB, kNoLimit, route);
  const FlowSlot second = net.network.start(8, 100 * GB, kNoLimit, route);
  net.network.share({0});
  CHECK(net.rate(second) == doctest::Approx(50));
  CHECK(net.network.next_completion() == TimePoint{kSecond});
  CHECK(net.network.pop_completion() == 7);
  net.network.share({kSecond});
  CHECK(net.rate(second) == doctest::Approx(100));
  CHECK(net.network.next_completion() == TimePoint{kSecond * 3 / 2});
  CHECK(net.network.pop_completion() == 8);
  net.network.share({kSecond * 3 / 2});
  CHECK(net.network.next_completion() == kNever);
}

TEST_CASE("beside a flow held to a quarter elsewhere, its neighbour gets three quarters") {
  Net net({100, 25});
  const std::vector<LinkUse> both{{0, 1}, {1, 1}}, first{{0, 1}};
  const FlowSlot held = net.network.start(0, 1 * GB, kNoLimit, both);
  const FlowSlot neighbour = net.network.start(1, 1 * GB, kNoLimit, first);
  net.network.share({0});
  CHECK(net.rate(held) == doctest::Approx(25));
  CHECK(net.rate(neighbour) == doctest::Approx(75));
}

TEST_CASE("a flow of weight 3 takes three times its rate from the link") {
  // r1 + 3 r2 = 100 with r1 = r2: 25 each; alone the second gets 100/3.
  Net net({100});
  const std::vector<LinkUse> once{{0, 1}}, thrice{{0, 3}};
  const FlowSlot a = net.network.start(0, 1 * GB, kNoLimit, once);
  const FlowSlot b = net.network.start(1, 10 * GB, kNoLimit, thrice);
  net.network.share({0});
  CHECK(net.rate(a) == doctest::Approx(25));
  CHECK(net.rate(b) == doctest::Approx(25));
  CHECK(net.network.pop_completion() == 0);
  net.network.share({kSecond / 25});
  CHECK(net.rate(b) == doctest::Approx(100.0 / 3));
}

TEST_CASE("a link that a route uses twice is used twice") {
  Net net({100});
  const std::vector<LinkUse> there_and_back{{0, 1}, {0, 1}};
  const FlowSlot a = net.network.start(0, 1 * GB, kNoLimit, there_and_back);
  net.network.share({0});
  CHECK(net.rate(a) == doctest::Approx(50));
  CHECK(net.network.next_completion() == TimePoint{kSecond / 50});
  net.network.pop_completion();
  net.network.share({kSecond / 50});
  CHECK(net.network.flow_count() == 0);
}

TEST_CASE("what a rate limit leaves goes to the others; a flow without links runs at its limit") {
  // 100 GB/s: limits 10 and 20, two without: (100 - 30) / 2 = 35 each.
  Net net({100});
  const std::vector<LinkUse> route{{0, 1}};
  const FlowSlot a = net.network.start(0, 1 * GB, 10 * GB_per_s, route);
  const FlowSlot b = net.network.start(1, 1 * GB, 20 * GB_per_s, route);
  const FlowSlot c = net.network.start(2, 1 * GB, kNoLimit, route);
  const FlowSlot d = net.network.start(3, 1 * GB, 90 * GB_per_s, route);
  const FlowSlot local = net.network.start(4, 1 * GB, 500 * GB_per_s, {});
  net.network.share({0});
  CHECK(net.rate(a) == doctest::Approx(10));
  CHECK(net.rate(b) == doctest::Approx(20));
  CHECK(net.rate(c) == doctest::Approx(35));
  CHECK(net.rate(d) == doctest::Approx(35));
  CHECK(net.rate(local) == doctest::Approx(500));
  CHECK(net.network.pop_completion() == 4);
}

TEST_CASE("the textbook chain: a long flow gets a half, the short ones what is left") {
  // Bertsekas and Gallager, Data Networks, section 6.5: one flow over n links, one flow on each. Capacities 1, 2 and 4:
  // the long flow and the first short one get 1/2, then 3/2 and 7/2.
  Net net({1, 2, 4});
  const std::vector<LinkUse> all{{0, 1}, {1, 1}, {2, 1}}, first{{0, 1}}, second{{1, 1}}, third{{2, 1}};
  const FlowSlot l = net.network.start(0, 1 * GB, kNoLimit, all);
  const FlowSlot a = net.network.start(1, 1 * GB, kNoLimit, first);
  const FlowSlot b = net.network.start(2, 1 * GB, kNoLimit, second);
  const FlowSlot c = net.network.start(3, 1 * GB, kNoLimit, third);
  net.network.share({0});
  CHECK(net.rate(l) == doctest::Approx(0.5));
  CHECK(net.rate(a) == doctest::Approx(0.5));
  CHECK(net.rate(b) == doctest::Approx(1.5));
  CHECK(net.rate(c) == doctest::Approx(3.5));
}

TEST_CASE("flows that are through together come out in the order of their beginning") {
  Net net({64});
  const std::vector<LinkUse> route{{0, 1}};
  for (std::int32_t i = 0; i < 64; ++i) net.network.start(i, 1 * GB, kNoLimit, route);
  net.network.share({0});
  for (std::int32_t i = 0; i < 64; ++i) {
    CHECK(net.network.next_completion() == TimePoint{kSecond});
    CHECK(net.network.pop_completion() == i);
  }
}

TEST_CASE("random changes: rates equal a slow refill from nothing, links hold, and every flow has its bottleneck") {
  std::mt19937_64 random(20260101);
  const auto draw = [&](std::int64_t below) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(below));
  };
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<double> capacities;
    for (std::int64_t l = 0; l < 2 + draw(10); ++l) capacities.push_back(static_cast<double>(1 + draw(8)) * 12.5);
    Net net(capacities);
    std::map<std::int32_t, Live> live;  // by payload; a map keeps the routes where they are
    std::int32_t next = 0;
    TimePoint now;
    for (int step = 0; step < 60; ++step) {
      // Some flows begin (often several at once); then time goes to the next completion, or not.
      for (std::int64_t n = draw(4); n > 0; --n) {
        Live& begun = live[next];
        SlowFlow& f = begun.flow;
        const std::int64_t length = 1 + draw(4);
        for (std::int64_t u = 0; u < length; ++u)
          f.uses.push_back({static_cast<LinkId>(draw(static_cast<std::int64_t>(capacities.size()))),
                            draw(3) == 0 ? static_cast<double>(1 + draw(16)) / 3 : 1.0});
        if (draw(3) == 0) f.limit = static_cast<double>(1 + draw(40));
        begun.slot = net.network.start(next++, static_cast<double>(1 + draw(1000)) * GB, f.limit * GB_per_s, f.uses);
      }
      net.network.share(now);

      std::vector<const SlowFlow*> flows;
      std::vector<double> rates;
      for (const auto& entry : live) {
        flows.push_back(&entry.second.flow);
        rates.push_back(net.rate(entry.second.slot));
      }
      const std::vector<double> expected = fill_slowly(capacities, flows);
      std::vector<double> used(capacities.size(), 0);
      for (std::size_t f = 0; f < flows.size(); ++f) {
        CHECK(rates[f] == doctest::Approx(expected[f]).epsilon(1e-9));
        for (const LinkUse& use : flows[f]->uses) used[static_cast<std::size_t>(use.link)] += use.weight * rates[f];
      }
      for (std::size_t l = 0; l < used.size(); ++l) CHECK(used[l] <= capacities[l] * (1 + 1e-9));
      // Max-min fair if and only if each flow is at its limit or uses a full link on which none has a higher rate.
      for (std::size_t f = 0; f < flows.size(); ++f) {
        bool has_bottleneck = flows[f]->limit > 0 && rates[f] >= flows[f]->limit * (1 - 1e-9);
        for (const LinkUse& use : flows[f]->uses) {
          const auto l = static_cast<std::size_t>(use.link);
          double highest = 0;
          for (std::size_t other = 0; other < flows.size(); ++other)
            for (const LinkUse& theirs : flows[other]->uses)
              if (theirs.link == use.link) highest = std::max(highest, rates[other]);
          has_bottleneck =
              has_bottleneck || (used[l] >= capacities[l] * (1 - 1e-9) && rates[f] >= highest * (1 - 1e-9));
        }
        CHECK(has_bottleneck);
      }

      for (std::int64_t n = draw(3); n > 0 && net.network.next_completion() != kNever; --n) {
        now = net.network.next_completion();
        do live.erase(net.network.pop_completion());
        while (net.network.next_completion() == now);
        net.network.share(now);
      }
    }
  }
}

TEST_CASE("every byte is carried: sizes equal rates summed over time") {
  // Flows over random links, run to the end; what each link carried is what its flows brought.
  std::mt19937_64 random(7);
  Net net({10, 20, 30, 40});
  std::vector<std::vector<LinkUse>> routes(40);
  std::vector<double> left(40), size(40);
  std::vector<FlowSlot> slots(40);
  for (std::size_t i = 0; i < 40; ++i) {
    for (LinkId l = 0; l < 4; ++l)
      if (random() % 2 == 0 || l == 3) routes[i].push_back({l, 1});
    size[i] = static_cast<double>(1 + random() % 50);
    left[i] = size[i];
    slots[i] = net.network.start(static_cast<std::int32_t>(i), size[i] * GB, kNoLimit, routes[i]);
  }
  TimePoint now;
  std::vector<bool> done(40, false);
  std::size_t ended = 0;
  while (ended < 40) {
    net.network.share(now);
    const TimePoint next = net.network.next_completion();
    for (std::size_t i = 0; i < 40; ++i)
      if (!done[i]) left[i] -= net.rate(slots[i]) * to_seconds(next - now).base();
    now = next;
    while (net.network.next_completion() == now) {
      const auto i = static_cast<std::size_t>(net.network.pop_completion());
      done[i] = true;
      ++ended;
      CHECK(std::abs(left[i]) < 1e-9 * 50);  // GB; completions are rounded to picoseconds
    }
  }
}
