#include "sim/schedule.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include <doctest/doctest.h>

#include "sim/simulator.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

constexpr Picoseconds kForward{1000}, kBackward{2000};
constexpr Picoseconds kSlot = kForward + kBackward;  // one forward and one backward pass of a whole stage

const Schedule& schedule(std::string_view name) {
  const Schedule* found = find_schedule(name);
  REQUIRE(found != nullptr);
  return *found;
}

Timeline run(std::string_view name, const PipelineShape& shape, const PassTimes& times = {kForward, kBackward}) {
  return simulate(pipeline_graph(schedule(name), shape, times));
}

/// Share of the stage time that no pass uses: 1 - m slots / makespan.
double bubble(const Timeline& timeline, const PipelineShape& shape) {
  return 1 - to_seconds(shape.micro_batches * kSlot) / to_seconds(timeline.makespan);
}

/// The shapes that `each` is tried on: every legal one of these.
template <class Each>
void for_each_legal_shape(const Schedule& s, Each each) {
  for (const std::int32_t stages : {1, 2, 3, 4, 5, 8, 16})
    for (const std::int32_t chunks : {1, 2, 3, 5, 8})
      for (const std::int32_t micro_batches : {1, 2, 3, 4, 5, 8, 10, 15, 16, 24, 32, 48}) {
        const PipelineShape shape{stages, chunks, micro_batches};
        if (s.why_illegal(shape) == nullptr) each(shape);
      }
}

std::string text(const std::vector<Pass>& order) {
  std::string out;
  for (const Pass& p : order)
    out += (p.kind == PassKind::forward ? "F" : "B") + std::to_string(p.micro_batch) +
           std::string(static_cast<std::size_t>(p.chunk), '\'') + " ";
  return out;
}

}  // namespace

TEST_CASE("1F1B and GPipe with p stages and m micro-batches take m + p - 1 forward-backward slots") {
  for (const char* name : {"1f1b", "gpipe"})
    for_each_legal_shape(schedule(name), [&](const PipelineShape& shape) {
      CHECK(run(name, shape).makespan == (shape.micro_batches + shape.stages - 1) * kSlot);
    });
}

TEST_CASE("the bubble is (P-1)/(M+P-1): 16 % at P=4 M=16, 9 % at M=32") {
  // 3/19 = 0.1579 and 3/35 = 0.0857.
  const PipelineShape m16{4, 1, 16}, m32{4, 1, 32};
  CHECK(bubble(run("1f1b", m16), m16) == doctest::Approx(3.0 / 19).epsilon(1e-12));
  CHECK(bubble(run("1f1b", m32), m32) == doctest::Approx(3.0 / 35).epsilon(1e-12));
}

TEST_CASE("one micro-batch uses 1/P of a pipeline") {
  for (const std::int32_t stages : {1, 2, 4, 8}) {
    const PipelineShape shape{stages, 1, 1};
    CHECK(bubble(run("1f1b", shape), shape) == doctest::Approx(1 - 1.0 / stages).epsilon(1e-12));
  }
}

TEST_CASE("interleaving over v chunks divides the idle time by v") {
  // A chunk's pass is 1/v of a stage's, so P-1 chunk slots of idle time are (P-1)/v stage slots (arXiv 2104.04473,
  // section 2.2.2). In chunk slots: v M of work and P-1 idle.
  for_each_legal_shape(schedule("interleaved"), [&](const PipelineShape& shape) {
    CHECK(run("interleaved", shape).makespan ==
          (shape.virtual_stages * shape.micro_batches + shape.stages - 1) * kSlot);
  });
}

TEST_CASE("1F1B holds P micro-batches where GPipe holds M") {
  // M=32, P=4: 32 against 4 on the first stage, 8x.
  const PipelineShape shape{4, 1, 32};
  CHECK(run("gpipe", shape).memory_peaks[0].bytes == 32);
  CHECK(run("1f1b", shape).memory_peaks[0].bytes == 4);
  CHECK(run("1f1b", shape).memory_peaks[3].bytes == 1);
}

TEST_CASE("the closed form of passes in flight equals counting over the order, and the simulated peak") {
  for (const Schedule& s : schedules())
    for_each_legal_shape(s, [&](const PipelineShape& shape) {
      const Timeline timeline = simulate(pipeline_graph(s, shape, {kForward, kBackward}));
      for (std::int32_t stage = 0; stage < shape.stages; ++stage) {
        std::int64_t held = 0, most = 0;
        for (const Pass& p : s.order(shape, stage)) {
          held += p.kind == PassKind::forward ? 1 : -1;
          most = std::max(most, held);
        }
        CHECK(held == 0);
        CHECK(most == s.peak_in_flight(shape, stage));
        CHECK(timeline.memory_peaks[static_cast<std::size_t>(stage)].bytes == most);
      }
    });
}

TEST_CASE("every schedule runs every pass once, each backward after its forward, without deadlock") {
  for (const Schedule& s : schedules())
    for_each_legal_shape(s, [&](const PipelineShape& shape) {
      for (std::int32_t stage = 0; stage < shape.stages; ++stage) {
        std::set<std::tuple<PassKind, std::int32_t, std::int32_t>> seen;
        for (const Pass& p : s.order(shape, stage)) {
          CHECK(p.chunk >= 0);
          CHECK(p.chunk < shape.virtual_stages);
          CHECK(p.micro_batch >= 0);
          CHECK(p.micro_batch < shape.micro_batches);
          CHECK(seen.insert({p.kind, p.chunk, p.micro_batch}).second);
          if (p.kind == PassKind::backward) CHECK(seen.count({PassKind::forward, p.chunk, p.micro_batch}) == 1);
        }
        CHECK(seen.size() == 2u * static_cast<std::size_t>(shape.virtual_stages * shape.micro_batches));
      }
      CHECK_NOTHROW(simulate(pipeline_graph(s, shape, {kForward, kBackward}), {false, false}));
    });
}

TEST_CASE("1F1B and GPipe as drawn in their papers") {
  // arXiv 2104.04473 figure 4 (last but one of 4 stages); arXiv 1811.06965 figure 2c.
  CHECK(text(schedule("1f1b").order({4, 1, 4}, 2)) == "F0 F1 B0 F2 B1 F3 B2 B3 ");
  CHECK(text(schedule("1f1b").order({4, 1, 4}, 3)) == "F0 B0 F1 B1 F2 B2 F3 B3 ");
  CHECK(text(schedule("gpipe").order({4, 1, 4}, 1)) == "F0 F1 F2 F3 B3 B2 B1 B0 ");
}

TEST_CASE("interleaved follows Megatron-LM's schedule table") {
  // P=2, v=2, M=4. Table (micro-batch, chunk): 0,0 1,0 0,1 1,1 | 2,0 3,0 2,1 3,1. Backward: the same with chunks
  // reversed. Warm-up of stage 1: 0 * 2 + (2-1) * 2 = 2; of stage 0: 1 * 2 + 2 = 4. A quote marks chunk 1.
  CHECK(text(schedule("interleaved").order({2, 2, 4}, 1)) ==
        "F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3' B2 B3 ");
  CHECK(text(schedule("interleaved").order({2, 2, 4}, 0)) ==
        "F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3' B2 B3 ");
  // M = P on the first stage: warm-up 1 * 2 + 2 = 4 = all passes; all backward passes follow.
  CHECK(text(schedule("interleaved").order({2, 2, 2}, 0)) == "F0 F1 F0' F1' B0' B1' B0 B1 ");
}

TEST_CASE("a schedule says why a shape is not for it") {
  CHECK(std::string(schedule("interleaved").why_illegal({4, 2, 6})) == "needs micro-batches divisible by stages");
  CHECK(std::string(schedule("interleaved").why_illegal({1, 2, 6})) == "needs at least two stages");
  CHECK(std::string(schedule("interleaved").why_illegal({4, 1, 8})) == "needs at least two chunks a stage");
  CHECK(std::string(schedule("1f1b").why_illegal({4, 2, 8})) == "has one chunk a stage");
  CHECK(std::string(schedule("gpipe").why_illegal({0, 1, 8})) == "needs at least one stage and one micro-batch");
  CHECK(find_schedule("2f2b") == nullptr);
}
