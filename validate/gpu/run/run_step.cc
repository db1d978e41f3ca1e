// foretrain-gpu --step: whole steps, of every rank or of one with its neighbours' data generated in place.
#include <algorithm>
#include <map>

#include "base/spec_error.h"
#include "validate/gpu/run/device_data.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/kernel_work.h"
#include "validate/gpu/run/nccl_world.h"
#include "validate/gpu/run/rank_groups.h"
#include "validate/gpu/run/run_context.h"
#include "validate/gpu/run/samples.h"
#include "validate/gpu/run/step_runner.h"

namespace foretrain::gpu {
namespace {

constexpr std::int32_t kWarmUp = 3;
constexpr std::size_t kMostTraced = 20000;  // tasks whose times are written one by one

/// A message whose ranks are there.
Bind real_message(const Message& m, const PlanGroups::Channel& channel) {
  if (channel.comm == nullptr) return {};
  return [m, channel](Operands& o) -> Launch {
    const void* send = o.read(Storage::bf16, m.bytes / 2 + 2);
    void* receive = o.write(m.bytes + 4);
    return [=](cudaStream_t stream) {
      launch_message(m, channel, send, receive, stream);
      return cudaSuccess;
    };
  };
}

/// A message whose other ranks are not there: what it brings is generated in place, in the time it should take. What
/// this rank sends is taken from its memory by nobody.
Bind absent_message(const Message& m, std::int64_t predicted_ps) {
  if (m.sends) return {};
  return [m, predicted_ps](Operands& o) -> Launch {
    const Neighbour neighbour{o.read(Storage::bf16, m.bytes / 2 + 1), o.write(m.bytes), m.bytes, predicted_ps / 1000};
    return [=](cudaStream_t stream) { return stand_in(neighbour, stream); };
  };
}

/// Times of each distinct work inside one traced step.
std::string kernels_json(const StepFile& file, const std::vector<TaskTime>& times) {
  struct InStep {
    std::vector<double> us;
    std::int64_t predicted_ps = 0;
  };
  std::map<std::int32_t, InStep> by_work;
  for (const TaskTime& t : times) {
    const StepTask& task = file.tasks[static_cast<std::size_t>(t.task)];
    InStep& in = by_work[task.work];
    in.us.push_back(std::max(t.us, 1e-3));
    in.predicted_ps += task.predicted_ps;
  }
  std::string kernels;
  for (const auto& [work, in] : by_work) {
    const StepWork& w = file.works[static_cast<std::size_t>(work)];
    if (std::holds_alternative<Message>(w)) continue;
    JsonLine line;
    const auto count = static_cast<std::int64_t>(in.us.size());
    line.raw("work", work_json(w)).whole("count", count);
    line.number("predicted_us", static_cast<double>(in.predicted_ps) / static_cast<double>(count) / 1e6);
    if (count <= 64) {
      add_samples(line, in.us);
    } else {
      const SampleSummary s = summary_of(in.us);
      line.number("median_us", s.median).number("p10_us", s.p10).number("p90_us", s.p90).number("spread", s.spread);
    }
    kernels += (kernels.empty() ? "" : ", ") + line.end();
  }
  return "[" + kernels + "]";
}

/// Each task of the step: its place in the file, and when it ran. For task-by-task comparison.
std::string tasks_json(const std::vector<TaskTime>& times) {
  std::string rows;
  for (const TaskTime& t : times) {
    rows += (rows.empty() ? "[" : ", [") + std::to_string(t.task) + ", " + json_number(t.start_us) + ", " +
            json_number(t.us) + "]";
  }
  return R"({"columns": ["task", "start_us", "us"], "rows": [)" + rows + "]}";
}

std::int64_t predicted_memory(const StepFile& file, const StepRunner& runner) {
  std::int64_t bytes = plan_blocks(file, runner.program()).most_effects;
  for (const StaticMemory& s : file.static_memory) {
    if (s.stage == runner.program().stage) bytes += s.bytes;
  }
  return bytes;
}

/// Steps of one rank, and what is written of them.
class StepRun {
 public:
  StepRun(RunContext& context, std::int32_t stage)
      : context_(context), file_(*context.file), libraries_(open_libraries()) {
    if (context.nccl != nullptr) groups_.emplace(file_.world, *context.nccl);
    const WorkContext works = work_context(file_);
    const StepLaunching how{context.options.cuda_graphs ? Launching::captured : Launching::from_host,
                            context.options.paced};
    const Watched watched(context.dog, "preparing the step", std::max(60.0, context.seconds_left()));
    runner_.emplace(file_, stage, how, [&](const StepWork& work, std::int64_t predicted_ps) -> Bind {
      const auto* message = std::get_if<Message>(&work);
      if (message == nullptr) return bind_kernel(work, works, libraries_);
      return groups_ ? real_message(*message, groups_->channel(*message)) : absent_message(*message, predicted_ps);
    });
  }

  /// One step; the first ones only warm up.
  void run(bool counts) {
    const Watched watched(context_.dog, "a step", std::max(60.0, context_.seconds_left() + 30));
    const StepTime time = runner_->run();
    if (!counts) return;
    steps_us_.push_back(time.us);
    launch_us_.push_back(time.launch_us);
    readings_.push_back(clocks_.read());
  }

  void trace() {
    if (context_.options.cuda_graphs) return;
    const Watched watched(context_.dog, "a traced step", std::max(60.0, context_.seconds_left() + 30));
    traced_ = runner_->run_traced();
  }

  void write(bool first) {
    if (!context_.writes()) return;
    const Options& o = context_.options;
    const Launching launching = o.cuda_graphs ? Launching::captured : Launching::from_host;
    JsonLine line;
    line.text("name", plan_name(o)).whole("rank", rank()).whole("stage", runner_->program().stage);
    line.whole("ranks", context_.ranks).flag("cuda_graph", o.cuda_graphs).flag("paced", o.paced);
    line.number("predicted_us", static_cast<double>(predicted_ps(file_, runner_->program(), launching)) / 1e6);
    // The launches of this program take its own time, not a framework's: what is left when the host takes none.
    line.number("predicted_without_host_us",
                static_cast<double>(predicted_ps(file_, runner_->program(), Launching::captured)) / 1e6);
    line.whole("launches", runner_->launches());
    if (!launch_us_.empty()) line.number("launch_us", summary_of(launch_us_).median);
    if (runner_->empty_tasks() > 0) {
      line.whole("empty_tasks", runner_->empty_tasks());
      line.number("empty_us", static_cast<double>(runner_->empty_ps()) / 1e6);
    }
    add_samples(line, steps_us_);
    if (!traced_.empty()) {
      line.raw("kernels", kernels_json(file_, traced_));
      if (traced_.size() <= kMostTraced) line.raw("tasks", tasks_json(traced_));
    }
    add_or_replace(first, Section::steps, line.end());
    add_or_replace(first, Section::memory, memory_json());
    context_.results.describe_device(device_json(clocks_, context_.gpus, readings_));
    context_.results.write(false);
  }

  [[nodiscard]] bool numbers_are_finite() const { return runner_->numbers_are_finite(); }

 private:
  [[nodiscard]] std::int32_t rank() const {
    return context_.nccl != nullptr ? context_.rank : rank_of(file_.world, {.pipeline = runner_->program().stage});
  }
  std::string memory_json() const {
    const StepMemoryUse& use = runner_->memory();
    JsonLine line;
    line.text("name", plan_name(context_.options)).whole("rank", rank());
    line.whole("peak_bytes", use.in_use_bytes - use.operand_bytes);
    line.whole("predicted_bytes", predicted_memory(file_, *runner_));
    line.whole("planned_bytes", use.planned_bytes).whole("operand_bytes", use.operand_bytes);
    return line.whole("total_bytes", use.total_bytes).end();
  }
  void add_or_replace(bool first, Section section, const std::string& json) {
    first ? context_.results.add(section, json) : context_.results.replace_last(section, json);
  }

  RunContext& context_;
  const StepFile& file_;
  std::shared_ptr<Libraries> libraries_;
  Clocks clocks_;
  std::optional<PlanGroups> groups_;
  std::optional<StepRunner> runner_;
  std::vector<double> steps_us_, launch_us_;
  std::vector<ClockReading> readings_;
  std::vector<TaskTime> traced_;
};

std::int32_t stage_of(const RunContext& context) {
  if (context.nccl != nullptr) return place_of(context.file->world, context.rank).pipeline;
  if (context.options.stage >= 0) return context.options.stage;
  if (context.file->stages.empty()) throw SpecError(context.options.graph, "expected a stage; the file has none");
  return context.file->stages.front().index;
}

}  // namespace

Outcome run_step(RunContext& context) {
  StepRun run(context, stage_of(context));
  const std::int32_t samples = context.options.samples;
  for (std::int32_t i = 0; i < kWarmUp; ++i) run.run(false);
  for (std::int32_t i = 0; i < samples; ++i) {
    // With other ranks every rank runs the same number of steps: the time limit is the watchdog's.
    if (i > 0 && context.nccl == nullptr && context.seconds_left() <= 0) {
      return out_of_time(context, std::to_string(i) + " of " + std::to_string(samples) + " steps");
    }
    context.say("step " + std::to_string(i + 1) + " of " + std::to_string(samples));
    run.run(true);
    run.write(i == 0);
  }
  run.trace();
  run.write(false);
  if (!run.numbers_are_finite()) {
    context.results.fail(plan_name(context.options),
                         "NaN or infinity in gradients or optimizer states after the steps");
    return {3, plan_name(context.options) + ": NaN or infinity in gradients or optimizer states after the steps"};
  }
  return {};
}

}  // namespace foretrain::gpu
