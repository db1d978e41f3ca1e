// foretrain-gpu --correctness: kernels and libraries against references, NCCL against sums on the CPU, and the checks
// of parallel execution over NCCL.
#include <algorithm>
#include <cmath>

#include "base/spec_error.h"
#include "validate/gpu/run/bound_work.h"
#include "validate/gpu/run/cuda_objects.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/nccl_communicator.h"
#include "validate/gpu/run/nccl_world.h"
#include "validate/gpu/run/run_context.h"
#include "validate/parallel/check.h"
#include "validate/parallel/cpu_math.h"

namespace foretrain::gpu {
namespace {

constexpr double kLongestCheck = 120;  // seconds

/// What rank `rank` holds at `place`: small whole numbers, so that sums over many ranks are exact in bf16 too.
float value_at(std::int64_t rank, std::int64_t place) { return static_cast<float>((place * 7 + rank * 5) % 11 - 5); }
float sum_at(std::int64_t ranks, std::int64_t place) {
  float sum = 0;
  for (std::int64_t r = 0; r < ranks; ++r) sum += value_at(r, place);
  return sum;
}

/// What rank `rank` of `ranks` must hold at place `i` after `op` of `count` numbers.
float wanted(CollectiveOp op, std::int64_t rank, std::int64_t ranks, std::int64_t i, std::int64_t count) {
  const std::int64_t share = count / ranks;
  switch (op) {
    case CollectiveOp::all_reduce:
      return sum_at(ranks, i);
    case CollectiveOp::reduce_scatter:
      return sum_at(ranks, rank * share + i);
    case CollectiveOp::all_gather:
      return value_at(i / share, i % share);
    case CollectiveOp::all_to_all:
      return value_at(i / share, rank * share + i % share);
    case CollectiveOp::broadcast:
      return value_at(0, i);
    case CollectiveOp::send_recv:
      return value_at((rank + ranks - 1) % ranks, i);
  }
  return 0;
}

/// One operation in fp32 (as over data-parallel ranks) among all ranks; this rank's part of the verdict.
CheckResult check_message(CollectiveOp op, std::int64_t count, RunContext& context) {
  const Message message{op, 4 * count, Group::data, false};
  const std::int64_t ranks = context.ranks;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = value_at(context.rank, static_cast<std::int64_t>(i));
  const DeviceMemory send(4 * count), receive(4 * count);
  const auto bytes = static_cast<std::size_t>(4 * count);
  const Stream stream;
  FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(send.data(), numbers.data(), bytes, cudaMemcpyHostToDevice, stream));
  FORETRAIN_CUDA_CHECK(cudaMemsetAsync(receive.data(), 0xff, bytes, stream));
  launch_message(message, {context.nccl->whole(), 0, context.ranks}, send.data(), receive.data(), stream);
  FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(numbers.data(), receive.data(), bytes, cudaMemcpyDeviceToHost, stream));
  FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream));
  const std::int64_t held = op == CollectiveOp::reduce_scatter ? count / ranks : count;
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < held; ++i) {
    wrong += numbers[static_cast<std::size_t>(i)] == wanted(op, context.rank, ranks, i, count) ? 0 : 1;
  }
  const std::string name = std::string("nccl ") + std::string(kCollectiveNames[static_cast<std::size_t>(op)]) + ", " +
                           std::to_string(ranks) + " ranks, " + std::to_string(count) + " numbers";
  return {name, wrong == 0, std::to_string(wrong) + " wrong numbers"};
}

/// Runs the checks that need ranks, and makes one verdict of all ranks'.
class RankChecks {
 public:
  explicit RankChecks(RunContext& context) : context_(context), flag_(256) {}

  /// The largest of all ranks' values.
  double largest(double mine) {
    auto value = static_cast<float>(mine);
    FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(flag_.data(), &value, 4, cudaMemcpyHostToDevice, stream_));
    FORETRAIN_NCCL_CHECK(
        ncclAllReduce(flag_.data(), flag_.data(), 1, ncclFloat32, ncclMax, context_.nccl->whole(), stream_));
    FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(&value, flag_.data(), 4, cudaMemcpyDeviceToHost, stream_));
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
    return static_cast<double>(value);
  }

  CheckResult message(CollectiveOp op, std::int64_t count) {
    CheckResult result = check_message(op, count, context_);
    if (largest(result.passed ? 0 : 1) > 0) {
      result.passed = false;
      if (result.detail == "0 wrong numbers") result.detail = "wrong on another rank";
    }
    return result;
  }

  /// A check of parallel execution on the first ranks; the others wait for its end.
  CheckResult parallel_check(const parallel::Check& check) {
    parallel::Difference difference;
    double worst = 0;
    {
      NcclWorld world(*context_.nccl, check.ranks);
      if (context_.rank < check.ranks) {
        const std::unique_ptr<parallel::World> nccl = nccl_parallel_world(world);
        const std::unique_ptr<parallel::Math> math = parallel::cpu_math();
        check.run({*nccl, *math, nullptr, difference});
        worst = difference.passed() ? difference.worst() : std::max(2.0, difference.worst());
        if (!std::isfinite(worst)) worst = 1e30;
      }
    }
    worst = largest(worst);
    char detail[64];
    std::snprintf(detail, sizeof detail, "largest error %.3g of what rounding allows", worst);
    return {"over NCCL: " + check.name, worst <= 1, detail};
  }

 private:
  RunContext& context_;
  Stream stream_;
  DeviceMemory flag_;
};

/// Writes what came of a check.
class Verdicts {
 public:
  explicit Verdicts(RunContext& context) : context_(context) {}

  void add(const CheckResult& result) {
    if (!result.passed) failed_.push_back(result.name);
    ++count_;
    if (!context_.writes()) return;
    context_.say(std::string(result.passed ? "passed  " : "FAILED  ") + result.name + ": " + result.detail);
    context_.results.add(
        Section::checks,
        JsonLine().text("name", result.name).flag("passed", result.passed).text("detail", result.detail).end());
    context_.results.write(false);
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] Outcome outcome() const {
    if (failed_.empty()) return {};
    return {3, std::to_string(failed_.size()) + " of " + std::to_string(count_) +
                   " checks failed, first: " + failed_.front()};
  }

 private:
  RunContext& context_;
  std::vector<std::string> failed_;
  std::size_t count_ = 0;
};

}  // namespace

Outcome run_correctness(RunContext& context) {
  Verdicts verdicts(context);
  if (context.writes()) {
    context.results.describe_device(device_json(Clocks(), context.gpus, {}));
    const bool whole_gpu = context.ranks <= context.gpus;  // ranks that share one check NCCL
    const Watched watched(context.dog, "the checks of kernels", kLongestCheck);
    for (const CheckResult& result : whole_gpu ? check_kernels() : std::vector<CheckResult>()) verdicts.add(result);
  }
  if (context.nccl == nullptr) {
    context.say("one rank: NCCL is checked with more GPUs, or with --ranks-per-gpu 2");
    return verdicts.outcome();
  }
  RankChecks checks(context);
  const auto out_of_time_anywhere = [&] { return checks.largest(context.seconds_left() <= 0 ? 1 : 0) > 0; };
  for (std::size_t op = 0; op < kCollectiveNames.size(); ++op) {
    for (const std::int64_t share : {1, 1000, 250'000}) {
      if (out_of_time_anywhere()) return out_of_time(context, std::to_string(verdicts.count()) + " checks");
      const Watched watched(context.dog, "a check of NCCL", kLongestCheck);
      verdicts.add(checks.message(static_cast<CollectiveOp>(op), share * context.ranks));
    }
  }
  // Ranks that share a GPU take milliseconds for each message: with four of them, not what two do as well.
  const int least = context.ranks > context.gpus ? std::max(2, context.ranks / 2 + 1) : 2;
  for (const parallel::Check& check : parallel::checks()) {
    if (check.ranks < least || check.ranks > context.ranks) continue;
    if (out_of_time_anywhere()) return out_of_time(context, std::to_string(verdicts.count()) + " checks");
    const Watched watched(context.dog, check.name, kLongestCheck);
    verdicts.add(checks.parallel_check(check));
  }
  return verdicts.outcome();
}

}  // namespace foretrain::gpu
