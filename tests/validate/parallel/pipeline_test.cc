#include "validate/parallel/pipeline.h"

#include <mutex>
#include <numeric>
#include <string>

#include <doctest/doctest.h>

#include "validate/parallel/cpu_math.h"
#include "validate/parallel/thread_world.h"

using namespace foretrain;
using namespace foretrain::parallel;

namespace {

/// Runs a pipeline whose part p adds 10^p to what it is given, forward and backward; counts the micro-batches that came
/// out of both ends with the right sum.
int run_sums(const sim::Schedule& schedule, const sim::PipelineShape& shape, Messages messages,
             const ThreadOptions& options) {
  const int parts = shape.stages * shape.virtual_stages;
  double all_parts = 0;
  for (int p = 0; p < parts; ++p) all_parts += 1 << p;
  int right = 0;
  std::mutex mutex;
  run_threads(shape.stages, options, [&](World& world) {
    std::vector<int> ranks(static_cast<std::size_t>(shape.stages));
    std::iota(ranks.begin(), ranks.end(), 0);
    const auto group = world.group(ranks, "pipeline");
    const std::unique_ptr<Math> math = cpu_math();
    const auto pass = [&](const sim::Pass& p, const Tensor& in) {
      const int part = p.chunk * shape.stages + group->rank();
      const bool forward = p.kind == sim::PassKind::forward;
      const float base = in.size() == 0 ? 1000.0F * static_cast<float>(p.micro_batch) : math->download(in)[0];
      Tensor out = math->zeros(1, 1);
      math->fill(base + static_cast<float>(1 << part), out);
      if (part == (forward ? parts - 1 : 0)) {
        const std::lock_guard lock(mutex);
        if (double{math->download(out)[0]} == 1000.0 * p.micro_batch + all_parts) ++right;
      }
      return out;
    };
    run_pipeline(*group, schedule, shape, messages, {pass, pass, [&] { return math->zeros(1, 1); }});
  });
  return right;
}

}  // namespace

TEST_CASE("every schedule passes every message on, though sends wait for their receivers") {
  int shapes = 0;
  for (const sim::Schedule& schedule : sim::schedules()) {
    for (const int stages : {1, 2, 3, 4, 5}) {
      for (const int chunks : {1, 2, 3}) {
        for (const int micro_batches : {1, 2, 3, 4, 5, 6, 8, 9, 10, 15}) {
          const sim::PipelineShape shape{stages, chunks, micro_batches};
          if (schedule.why_illegal(shape) != nullptr) continue;
          CAPTURE(schedule.name);
          CAPTURE(stages);
          CAPTURE(chunks);
          CAPTURE(micro_batches);
          CHECK(run_sums(schedule, shape, Messages::grouped, {}) == 2 * micro_batches);
          ++shapes;
        }
      }
    }
  }
  // gpipe and 1f1b: 5 stages x 10 micro-batches. interleaved, chunks 2 and 3: multiples of 2 in the list (2 4 6 8 10),
  // of 3 (3 6 9 15), of 4 (4 8), of 5 (5 10 15).
  CHECK(shapes == 2 * 50 + 2 * (5 + 4 + 2 + 3));
}

TEST_CASE("GPipe runs with one blocking message at a time") {
  const sim::Schedule& gpipe = *sim::find_schedule("gpipe");
  CHECK(run_sums(gpipe, {4, 1, 8}, Messages::one_by_one, {}) == 16);
  CHECK(run_sums(gpipe, {5, 1, 3}, Messages::one_by_one, {}) == 6);
}

TEST_CASE("1F1B with one blocking message at a time is a deadlock, which is reported") {
  // Two stages, after the first forward passes: stage 0 sends micro-batch 1 and stage 1 the gradient of micro-batch 0.
  const sim::Schedule& schedule = *sim::find_schedule("1f1b");
  std::string message;
  try {
    run_sums(schedule, {2, 1, 4}, Messages::one_by_one, {});
  } catch (const CommunicationError& error) {
    message = error.what();
  }
  CHECK(message.find("no rank can go on") != std::string::npos);
  CHECK(message.find("rank 0 waits in send \"activations of part 0, micro-batch 1\"") != std::string::npos);
  CHECK(message.find("rank 1 waits in send \"gradient of part 1, micro-batch 0\"") != std::string::npos);
}

TEST_CASE("sends that do not wait need no grouping") {
  const ThreadOptions buffered{.buffered_sends = true};
  CHECK(run_sums(*sim::find_schedule("1f1b"), {4, 1, 8}, Messages::one_by_one, buffered) == 16);
  CHECK(run_sums(*sim::find_schedule("interleaved"), {4, 2, 8}, Messages::one_by_one, buffered) == 16);
  CHECK(run_sums(*sim::find_schedule("interleaved"), {2, 3, 2}, Messages::one_by_one, buffered) == 4);
}
