// foretrain-gpu --kernels: each distinct kernel of a graph alone.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/spec_error.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/kernel_work.h"
#include "validate/gpu/run/operand_memory.h"
#include "validate/gpu/run/run_context.h"
#include "validate/gpu/run/samples.h"
#include "validate/gpu/run/timing.h"

namespace foretrain::gpu {
namespace {

constexpr std::int32_t kWarmUp = 3;
constexpr double kLongestKernel = 60;  // seconds until a kernel's samples count as hanging

/// A distinct kernel of the file.
struct KernelUse {
  std::int32_t work = 0;
  std::int64_t count = 0;         // tasks that run it
  std::int64_t predicted_ps = 0;  // of the first of them
};

std::vector<KernelUse> kernel_uses(const StepFile& file) {
  std::vector<KernelUse> uses(file.works.size());
  for (const StepTask& task : file.tasks) {
    if (task.work < 0 || std::holds_alternative<Message>(file.works[static_cast<std::size_t>(task.work)])) continue;
    KernelUse& use = uses[static_cast<std::size_t>(task.work)];
    if (use.count++ == 0) use.predicted_ps = task.predicted_ps;
    use.work = task.work;
  }
  uses.erase(std::remove_if(uses.begin(), uses.end(), [](const KernelUse& u) { return u.count == 0; }), uses.end());
  return uses;
}

std::string clocks_json(const ClockReading& reading) {
  std::string throttled;
  for (const std::string& t : reading.throttled) throttled += (throttled.empty() ? "" : ", ") + json_text(t);
  return JsonLine()
      .number("sm_mhz", reading.sm_mhz)
      .number("memory_mhz", reading.memory_mhz)
      .number("watts", reading.watts)
      .raw("throttled", "[" + throttled + "]")
      .end();
}

/// Measures one kernel after the other.
class KernelRun {
 public:
  explicit KernelRun(RunContext& context)
      : context_(context),
        works_(work_context(*context.file)),
        libraries_(open_libraries()),
        empty_us_(timer_.empty_us()) {}

  void launches() {
    const LaunchCosts costs = measure_launches(context_.options.samples);
    const auto add = [&](const char* what, const std::vector<double>& samples) {
      JsonLine line;
      line.text("what", what).text("framework", "generic");
      context_.results.add(Section::launches, add_samples(line, samples).end());
    };
    add("kernel", costs.kernel);
    add("graph", costs.graph);
    add("graph_node", costs.graph_node);
  }

  /// Adds the kernel's entry: its samples, or why there are none.
  void measure(const KernelUse& use) {
    const StepWork& work = context_.file->works[static_cast<std::size_t>(use.work)];
    JsonLine line;
    line.raw("work", work_json(work))
        .whole("count", use.count)
        .number("predicted_us", static_cast<double>(use.predicted_ps) / 1e6);
    try {
      const std::vector<double> samples = samples_of(work, line);
      add_samples(line, samples);
    } catch (const SpecError& e) {
      line.text("skipped", e.what());
    } catch (const OutOfDeviceMemory& e) {
      line.text("skipped", e.what());
      context_.results.fail(work_text(work), e.what());
      ++too_large_;
    }
    context_.results.add(Section::kernels, line.end());
  }

  [[nodiscard]] std::string device() const { return device_json(clocks_, context_.gpus, readings_); }
  /// What the run came to.
  [[nodiscard]] Outcome outcome() const {
    if (found_nan_) return {3, "a kernel gave NaN or infinity; \"failures\" in the results names it"};
    if (too_large_ > 0)
      return {3, std::to_string(too_large_) + " kernels are too large for the GPU's memory; the others were measured"};
    return {};
  }

 private:
  std::vector<double> samples_of(const StepWork& work, JsonLine& line) {
    const Bind bind = bind_kernel(work, works_, libraries_);
    Needs needs = needs_of(bind);
    OperandMemory memory(needs, works_.vocabulary);
    const Launch launch = bind(memory.operands());
    const auto run = [&](cudaStream_t stream) {
      const cudaError_t error = launch(stream);
      if (error == cudaErrorInvalidValue || error == cudaErrorNotSupported) {
        cudaGetLastError();
        throw SpecError(work_text(work), std::string("no kernel runs it: ") + cudaGetErrorString(error));
      }
      check_cuda(error, work_text(work).c_str(), __FILE__, __LINE__);
    };
    const Watched watched(context_.dog, work_text(work), kLongestKernel);
    timer_.warm_up(run, kWarmUp);
    std::vector<double> samples =
        timer_.time(run, context_.options.samples, [&] { readings_.push_back(clocks_.read()); });
    for (double& s : samples) s = std::max(s - empty_us_, 1e-3);
    line.raw("clocks", clocks_json(readings_.back()));
    check_numbers(work, memory);
    return samples;
  }

  /// Random numbers in give finite numbers out.
  void check_numbers(const StepWork& work, const OperandMemory& memory) {
    const auto* gemm = std::get_if<Gemm>(&work);
    const auto* attention = std::get_if<Attention>(&work);
    if (gemm == nullptr && attention == nullptr) return;
    const DType type = gemm != nullptr ? gemm->output : attention->dtype;
    const Region region = gemm != nullptr && gemm->accumulate ? Region::state : Region::results;
    if (memory.sizes()[region] == 0 || memory.is_finite(region, storage_of(type))) return;
    found_nan_ = true;
    context_.results.fail(work_text(work), "NaN or infinity in its result from random normal numbers");
  }

  RunContext& context_;
  WorkContext works_;
  std::shared_ptr<Libraries> libraries_;
  ColdTimer timer_;
  Clocks clocks_;
  double empty_us_;
  std::vector<ClockReading> readings_;
  bool found_nan_ = false;
  std::int32_t too_large_ = 0;
};

}  // namespace

Outcome run_kernels(RunContext& context) {
  KernelRun run(context);
  run.launches();
  const std::vector<KernelUse> uses = kernel_uses(*context.file);
  std::size_t done = 0;
  for (const KernelUse& use : uses) {
    if (context.seconds_left() <= 0) {
      return out_of_time(context, std::to_string(done) + " of " + std::to_string(uses.size()) + " kernels");
    }
    context.say("kernel " + std::to_string(++done) + " of " + std::to_string(uses.size()) + ": " +
                work_text(context.file->works[static_cast<std::size_t>(use.work)]));
    run.measure(use);
    context.results.describe_device(run.device());
    context.results.write(false);
  }
  return run.outcome();
}

}  // namespace foretrain::gpu
