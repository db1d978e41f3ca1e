/// Runs one rank's step on one GPU: lanes as streams, dependencies as events, the host lane as the launching thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "validate/gpu/run/block_plan.h"
#include "validate/gpu/run/cuda_objects.h"
#include "validate/gpu/run/memory_work.h"
#include "validate/gpu/run/operand_memory.h"
#include "validate/gpu/run/program.h"

namespace foretrain::gpu {

/// Operands for one launch of a work; for messages, what their rank of the plan needs. Copies between host and GPU do
/// not come here.
using BindWork = std::function<Bind(const StepWork&, std::int64_t predicted_ps)>;

/// How a step is launched.
struct StepLaunching {
  Launching launching = Launching::from_host;
  bool paced = false;  ///< a host task ends no sooner than its predicted time after the one before
};

/// When a task ran on the GPU, in microseconds from the step's beginning.
struct TaskTime {
  std::int32_t task = 0;  ///< of the file
  double start_us = 0, us = 0;
};
struct StepTime {
  double us = 0;         ///< from the first launch until all streams are empty, on the host's clock
  double launch_us = 0;  ///< until the last launch
};

/// Memory of the device while steps ran. `in_use` is the whole device's: contexts, libraries, NCCL and all.
struct StepMemoryUse {
  std::int64_t planned_bytes = 0;  ///< static and reserved, as the graph wants
  std::int64_t operand_bytes = 0;  ///< more than planned, that operands needed
  std::int64_t in_use_bytes = 0;   ///< most that was in use on the device
  std::int64_t total_bytes = 0;
};

class StepRunner {
 public:
  /// Allocates everything, fills it, and prepares every launch. Throws OutOfDeviceMemory; SpecError for a work that
  /// cannot run.
  StepRunner(const StepFile& file, std::int32_t stage, const StepLaunching& how, const BindWork& bind);
  ~StepRunner();
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  /// One step from empty streams to empty streams. Call it a few times before its times count.
  StepTime run();
  /// One step with events around each task of a stream. Not for captured steps.
  std::vector<TaskTime> run_traced();

  [[nodiscard]] const Program& program() const { return program_; }
  [[nodiscard]] const StepMemoryUse& memory() const { return memory_; }
  [[nodiscard]] std::int32_t launches() const { return launches_count_; }
  /// Tasks with a predicted time but nothing to run, and that time.
  [[nodiscard]] std::int32_t empty_tasks() const { return empty_tasks_; }
  [[nodiscard]] std::int64_t empty_ps() const { return empty_ps_; }
  /// Whether gradients and optimizer states hold no NaN.
  [[nodiscard]] bool numbers_are_finite() const {
    return operand_memory_.sizes()[Region::state] == 0 || operand_memory_.is_finite(Region::state, Storage::fp32);
  }

 private:
  void prepare(const BindWork& bind);
  void capture();
  void issue(std::vector<TaskTime>* traced);
  void empty_streams();
  void note_memory();

  const StepFile& file_;
  StepLaunching how_;
  Program program_;
  BlockPlan blocks_;
  StepMemoryUse memory_;
  OperandMemory operand_memory_;
  HostMemory host_memory_;  // for copies to and from the host: all in the same place
  std::vector<Stream> streams_;
  std::vector<Launch> launches_;            // [issue]; empty: nothing to run
  std::vector<Event> ends_;                 // of those that others wait for
  std::vector<std::int32_t> end_of_issue_;  // [issue] index into ends_, or -1
  std::vector<Event> starts_traced_, ends_traced_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
  std::int32_t launches_count_ = 0, empty_tasks_ = 0;
  std::int64_t empty_ps_ = 0;
};

}  // namespace foretrain::gpu
