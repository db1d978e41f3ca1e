// foretrain-gpu --collectives: each distinct operation, size and group; or a sweep of sizes without a graph.
#include <algorithm>
#include <map>
#include <tuple>

#include "base/spec_error.h"
#include "validate/gpu/run/cuda_objects.h"
#include "validate/gpu/run/device_data.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/nccl_world.h"
#include "validate/gpu/run/rank_groups.h"
#include "validate/gpu/run/run_context.h"

namespace foretrain::gpu {
namespace {

constexpr double kLongestMessage = 60;  // seconds until a message's samples count as hanging

struct MessageUse {
  Message message;
  std::int64_t count = 1;
  std::int64_t predicted_ps = 0;
};

/// The distinct messages of the file, each once for both its ends.
std::vector<MessageUse> message_uses(const StepFile& file) {
  std::map<std::tuple<int, std::int64_t, int>, MessageUse> uses;
  for (const StepTask& task : file.tasks) {
    const auto* m = task.work < 0 ? nullptr : std::get_if<Message>(&file.works[static_cast<std::size_t>(task.work)]);
    if (m == nullptr || m->sends || m->bytes == 0) continue;
    MessageUse& use = uses[{static_cast<int>(m->op), m->bytes, static_cast<int>(m->group)}];
    use.count = use.predicted_ps == 0 ? 1 : use.count + 1;
    use.message = *m;
    use.predicted_ps = std::max(use.predicted_ps, task.predicted_ps);
  }
  std::vector<MessageUse> list;
  for (const auto& [key, use] : uses) list.push_back(use);
  return list;
}

/// Without a graph: every operation from 4 KiB to 256 MiB, as nccl-tests sweeps them.
std::vector<MessageUse> sweep() {
  std::vector<MessageUse> list;
  for (std::size_t op = 0; op < kCollectiveNames.size(); ++op) {
    for (std::int64_t bytes = 4 << 10; bytes <= 256 << 20; bytes *= 4) {
      list.push_back({{static_cast<CollectiveOp>(op), bytes, Group::tensor, false}, 1, 0});
    }
  }
  return list;
}

/// Measures messages with the ranks there are.
class MessageRun {
 public:
  MessageRun(RunContext& context, const std::vector<MessageUse>& uses)
      : context_(context), shared_(context.ranks > context.gpus) {
    std::int64_t most = 0;
    for (const MessageUse& u : uses) most = std::max(most, u.message.bytes);
    send_ = DeviceMemory(most + 256);
    receive_ = DeviceMemory(most + 256);
    FORETRAIN_CUDA_CHECK(fill_random(send_.data(), most / 2, Storage::bf16, Filling::normal,
                                     7 + static_cast<std::uint64_t>(context.rank), nullptr));
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(nullptr));
    const World& plan = context.file != nullptr ? context.file->world : alone_;
    if (context.file != nullptr && plan.gpus == context.ranks) plan_.emplace(plan, *context.nccl);
  }

  /// The channel that the message has here: its own group when all ranks of the plan are there, otherwise all there
  /// are.
  PlanGroups::Channel channel(const Message& m) const {
    return plan_ ? plan_->channel(m) : PlanGroups::Channel{context_.nccl->whole(), 0, context_.ranks};
  }
  /// What this rank does of the message.
  std::vector<Message> ends_of(Message& m) const {
    if (plan_) return plan_->ends_of(m);
    if (m.group == Group::next || m.group == Group::previous) m.group = Group::context;  // around the ring of all
    return {m};
  }

  /// Samples of the message, of which this rank does `ends`: all ranks call it, those outside the group only meet.
  std::vector<double> samples(const Message& m, const std::vector<Message>& ends) {
    // Small messages several times between two events; ranks that share a GPU take turns for milliseconds.
    const std::int32_t repeats = shared_ ? 1 : m.bytes < (1 << 20) ? 20 : m.bytes < (16 << 20) ? 5 : 1;
    const std::int32_t wanted = shared_ ? std::min(context_.options.samples, 5) : context_.options.samples;
    const Watched watched(context_.dog, work_text(m), kLongestMessage);
    const auto run = [&] {
      FORETRAIN_NCCL_CHECK(ncclGroupStart());
      for (const Message& e : ends) launch_message(e, channel(e), send_.data(), receive_.data(), stream_);
      FORETRAIN_NCCL_CHECK(ncclGroupEnd());
    };
    for (int i = 0; i < (shared_ ? 1 : 5); ++i) run();
    const Event begin, end;
    std::vector<double> times;
    for (std::int32_t s = 0; s < wanted; ++s) {
      meet();
      FORETRAIN_CUDA_CHECK(cudaEventRecord(begin, stream_));
      for (std::int32_t r = 0; r < repeats; ++r) run();
      FORETRAIN_CUDA_CHECK(cudaEventRecord(end, stream_));
      FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
      times.push_back(microseconds_between(begin, end) / repeats);
    }
    return times;
  }

  /// Whether any rank wants to stop: all must decide alike. Also a barrier.
  bool anyone(bool stops) {
    const float mine = stops ? 1.0F : 0.0F;
    float all = 0;
    FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(receive_.data(), &mine, 4, cudaMemcpyHostToDevice, stream_));
    FORETRAIN_NCCL_CHECK(
        ncclAllReduce(receive_.data(), receive_.data(), 1, ncclFloat32, ncclMax, context_.nccl->whole(), stream_));
    FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(&all, receive_.data(), 4, cudaMemcpyDeviceToHost, stream_));
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
    return all > 0;
  }

  double estimate(const Message& m, const PlanGroups::Channel& channel) {
    return nccl_estimate_us(m, channel, send_.data(), receive_.data(), stream_);
  }

 private:
  void meet() {
    FORETRAIN_NCCL_CHECK(
        ncclAllReduce(receive_.data(), receive_.data(), 1, ncclFloat32, ncclMax, context_.nccl->whole(), stream_));
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
  }

  RunContext& context_;
  World alone_;
  bool shared_;
  Stream stream_;
  DeviceMemory send_, receive_;
  std::optional<PlanGroups> plan_;
};

/// How many ranks of the message's group are on this rank's node.
std::int64_t on_this_node(const RunContext& context, const Message& m, const PlanGroups::Channel& channel) {
  if (context.file == nullptr || context.file->world.gpus != context.ranks) {
    return std::min(channel.size, context.ranks_per_node);
  }
  std::int64_t count = 0;
  for (const std::int32_t r : group_ranks(context.file->world, context.rank, m.group)) {
    count += r / context.ranks_per_node == context.rank / context.ranks_per_node ? 1 : 0;
  }
  return count;
}

std::string entry(const RunContext& context, const MessageUse& use, const PlanGroups::Channel& channel,
                  const std::vector<double>& samples, double estimate_us) {
  const Message& m = use.message;
  JsonLine line;
  line.text("op", kCollectiveNames[static_cast<std::size_t>(m.op)])
      .whole("bytes", m.bytes)
      .whole("ranks", channel.size);
  line.whole("gpus", std::min<std::int32_t>(channel.size, context.gpus));
  if (context.ranks == context.gpus && context.ranks_per_node > 0) {
    line.whole("ranks_per_node", on_this_node(context, m, channel));
  }
  line.text("group", kGroupNames[static_cast<std::size_t>(m.group)]).whole("count", use.count);
  if (use.predicted_ps > 0) line.number("predicted_us", static_cast<double>(use.predicted_ps) / 1e6);
  if (estimate_us > 0) line.number("nccl_estimate_us", estimate_us);
  if (context.ranks > context.gpus)
    line.text("note", "ranks share a GPU over NCCL's socket transport: not a time of a real group");
  return add_samples(line, samples).end();
}

}  // namespace

Outcome run_collectives(RunContext& context) {
  if (context.nccl == nullptr) {
    throw SpecError("--collectives",
                    "expected at least two ranks; there is one GPU: --ranks-per-gpu 2 lets ranks share it");
  }
  std::vector<MessageUse> uses = context.file != nullptr ? message_uses(*context.file) : sweep();
  if (context.ranks > context.gpus) {  // larger ones take seconds and say nothing
    uses.erase(
        std::remove_if(uses.begin(), uses.end(), [](const MessageUse& u) { return u.message.bytes > (16 << 20); }),
        uses.end());
  }
  MessageRun run(context, uses);
  const Clocks clocks;
  std::vector<ClockReading> readings;
  std::size_t done = 0;
  for (MessageUse& use : uses) {
    if (run.anyone(context.seconds_left() <= 0)) {
      return out_of_time(context, std::to_string(done) + " of " + std::to_string(uses.size()) + " messages");
    }
    ++done;
    const std::vector<Message> ends = run.ends_of(use.message);
    const std::vector<double> samples = run.samples(use.message, ends);
    if (ends.empty()) continue;
    const PlanGroups::Channel channel = run.channel(ends.front());
    const double estimate = run.estimate(use.message, channel);
    if (!context.writes()) continue;
    context.say("message " + std::to_string(done) + " of " + std::to_string(uses.size()) + ": " +
                work_text(use.message));
    readings.push_back(clocks.read());
    context.results.add(Section::collectives, entry(context, use, channel, samples, estimate));
    context.results.describe_device(device_json(clocks, context.gpus, readings));
    context.results.write(false);
  }
  return {};
}

}  // namespace foretrain::gpu
