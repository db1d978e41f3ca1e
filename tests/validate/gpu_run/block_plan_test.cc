#include "validate/gpu/run/block_plan.h"

#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {
constexpr std::int64_t MiBs = 1 << 20;

BlockPlan plan_of(const std::string& records) {
  std::istringstream in(
      "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 compute compute\n"
      "static 0 parameters 1000\nstatic 0 optimizer 3000\nstatic 0 cuda_context 77\nstatic 0 communication 88\n"
      "static 0 allocator 99\n"
      "task 0 0 1 x -1 -1 -1\ntask 1 0 1 x -1 -1 -1\ntask 2 0 1 x -1 -1 -1\ntask 3 0 1 x -1 -1 -1\n" +
      records + "end 4\n");
  const StepFile f = read_step(in, "step.graph");
  return plan_blocks(f, make_program(f, 0, Launching::from_host));
}
}  // namespace

TEST_CASE("Blocks come from segments as PyTorch's allocator sizes them") {
  CachingAllocator a;
  CHECK(a.take(1).bytes == 512);  // of a 2 MiB segment
  CHECK(a.segments() == std::vector<std::int64_t>{2 * MiBs});
  CHECK(a.take(1000).offset == 512);  // 1000 becomes 1024, behind the first
  CHECK(a.segments().size() == 1);
  CHECK(a.take(4 * MiBs).segment == 1);  // 1 to 10 MiB: of a 20 MiB segment
  CHECK(a.segments().back() == 20 * MiBs);
  const CachingAllocator::Block rest = a.take(15 * MiBs + 1);  // fits into the 16 MiB left over
  CHECK(rest.segment == 1);
  CHECK(rest.offset == 4 * MiBs);
  CHECK(rest.bytes == 16 * MiBs);  // what would be left, less than 1 MiB, is not split off
  CHECK(a.take(16 * MiBs + 1).segment == 2);
  CHECK(a.segments().back() == 18 * MiBs);  // a segment of its own, in steps of 2 MiB
}

TEST_CASE("What is given back is joined and used again; the best fit wins") {
  CachingAllocator a;
  const auto first = a.take(32 * MiBs);
  const auto second = a.take(12 * MiBs);
  CHECK(a.reserved() == 44 * MiBs);
  a.give_back(first);
  a.give_back(second);
  CHECK(a.taken() == 0);
  CHECK(a.take(11 * MiBs).segment == second.segment);  // 12 fits better than 32; 1 MiB left over is not split off
  CHECK(a.taken() == 12 * MiBs);
  const auto front = a.take(16 * MiBs);
  const auto back = a.take(16 * MiBs);
  CHECK(front.segment == first.segment);
  CHECK(back.offset == 16 * MiBs);
  a.give_back(front);
  a.give_back(back);
  CHECK(a.take(32 * MiBs).segment == first.segment);  // joined again
  CHECK(a.reserved() == 44 * MiBs);
  CHECK(a.most_taken() == 44 * MiBs);
}

TEST_CASE("A step's peak is the most that its effects hold at once, and static memory stands beside it") {
  // 100 and 40 MiB together while task 1 runs; the 100 is gone before task 2 takes 60.
  const BlockPlan p = plan_of(
      "memory 0 start activations 104857600\nmemory 1 start temporary 41943040\nmemory 1 end temporary -41943040\n"
      "memory 1 end activations -104857600\nmemory 2 start activations 62914560\nmemory 3 end activations -62914560\n");
  CHECK(p.static_bytes == 4000);  // context, NCCL's buffers and the allocator's slack come by themselves
  CHECK(p.most_effects == 140 * MiBs);
  CHECK(p.most_taken == 140 * MiBs);
  std::int64_t reserved = 0;
  for (const std::int64_t s : p.segments) reserved += s;
  CHECK(reserved == 140 * MiBs);  // 64 + 36 + 40; task 2's 60 fits into the 64
}

TEST_CASE("More freed than taken is refused") {
  CHECK_THROWS_WITH_AS(plan_of("memory 0 start activations 1024\nmemory 1 end activations -2048\n"),
                       "graph: task 1: expected to free no more \"activations\" than was taken; got 1024 bytes more",
                       SpecError);
}
