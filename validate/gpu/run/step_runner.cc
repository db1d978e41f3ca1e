#include "validate/gpu/run/step_runner.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <tuple>

#include "base/units.h"
#include "validate/gpu/run/host_copy.h"

namespace foretrain::gpu {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }
double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

/// Bytes by region for a step: what its works need, and what the plan holds anyway. Parameters are what is read;
/// gradients, master weights and first moments are state; activations and all that comes and goes is written.
Needs region_sizes(const StepFile& file, std::int32_t stage, const BlockPlan& blocks, const Needs& works) {
  Needs sizes = works;
  std::int64_t parameters = 0, optimizer = 0, state = 0;
  for (const StaticMemory& s : file.static_memory) {
    if (s.stage != stage || comes_by_itself(s.label)) continue;
    (s.label == "parameters" ? parameters : s.label == "optimizer" ? optimizer : state) += s.bytes;
  }
  const auto most_read = std::max_element(works.bytes.begin(), works.bytes.begin() + 4) - works.bytes.begin();
  Needs held;
  held.bytes[static_cast<std::size_t>(most_read)] = parameters;
  held[Region::squares] = optimizer / 3;  // fp32 master, first and second moment
  held[Region::state] = state + optimizer - optimizer / 3;
  held[Region::results] = std::accumulate(blocks.segments.begin(), blocks.segments.end(), std::int64_t{0});
  sizes.cover(held);
  for (std::int64_t& b : sizes.bytes) b = round_up(b, 256);
  return sizes;
}

}  // namespace

StepRunner::StepRunner(const StepFile& file, std::int32_t stage, const StepLaunching& how, const BindWork& bind)
    : file_(file),
      how_(how),
      program_(make_program(file, stage, how.launching)),
      blocks_(plan_blocks(file, program_)),
      end_of_issue_(program_.order.size(), -1) {
  prepare(bind);
  for (const std::int32_t lane : program_.stream_lane) {
    // Messages start when they can, whatever kernel waits: what CUDA_DEVICE_MAX_CONNECTIONS=1 is set for in training.
    const bool compute = file.lanes[at(lane)].kind == StepLaneKind::compute;
    streams_.emplace_back(compute ? StreamPriority::normal : StreamPriority::high);
  }
  if (how_.launching == Launching::captured) capture();
}

StepRunner::~StepRunner() {
  if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  if (graph_ != nullptr) cudaGraphDestroy(graph_);
}

void StepRunner::prepare(const BindWork& bind) {
  std::int64_t host_bytes = 0;
  for (const Issue& issue : program_.order) {
    const StepTask& task = file_.tasks[at(issue.task)];
    if (is_host_copy(file_, task)) host_bytes = std::max(host_bytes, host_copy_bytes(file_.works[at(task.work)]));
  }
  host_memory_ = HostMemory(host_bytes);
  // Each distinct work once; a message's stand-in depends on its time too.
  std::map<std::tuple<std::int32_t, bool, std::int64_t>, std::pair<Bind, Needs>> binds;
  const auto bind_of = [&](const StepTask& task) -> std::pair<Bind, Needs>& {
    const StepWork& work = file_.works[at(task.work)];
    const bool message = std::holds_alternative<Message>(work), with_host = is_host_copy(file_, task);
    const auto [found, is_new] = binds.try_emplace({task.work, with_host, message ? task.predicted_ps : 0});
    if (is_new) {
      found->second.first = with_host ? host_copy(work, host_memory_.data()) : bind(work, task.predicted_ps);
      if (found->second.first) found->second.second = needs_of(found->second.first);
    }
    return found->second;
  };
  Needs needs;
  for (const Issue& issue : program_.order) {
    const StepTask& task = file_.tasks[at(issue.task)];
    if (issue.stream < 0) continue;
    if (task.work >= 0) {
      needs.cover(bind_of(task).second);
    } else if (task.predicted_ps > 0) {
      ++empty_tasks_;
      empty_ps_ += task.predicted_ps;
    }
  }
  const Needs sizes = region_sizes(file_, program_.stage, blocks_, needs);
  memory_.planned_bytes =
      blocks_.static_bytes + std::accumulate(blocks_.segments.begin(), blocks_.segments.end(), std::int64_t{0});
  memory_.operand_bytes = std::max<std::int64_t>(0, sizes.total() - memory_.planned_bytes);
  operand_memory_ = OperandMemory(sizes, work_context(file_).vocabulary);
  for (std::size_t i = 0; i < program_.order.size(); ++i) {
    const Issue& issue = program_.order[i];
    const StepTask& task = file_.tasks[at(issue.task)];
    launches_.emplace_back();
    if (issue.marks_end && issue.stream >= 0) {
      end_of_issue_[i] = static_cast<std::int32_t>(ends_.size());
      ends_.emplace_back(Event::Kind::untimed);
    }
    if (issue.stream < 0 || task.work < 0) continue;
    const auto& [operation, work_needs] = bind_of(task);
    if (!operation) continue;
    operand_memory_.operands().begin(work_needs);
    launches_.back() = operation(operand_memory_.operands());
    ++launches_count_;
  }
}

void StepRunner::capture() {
  if (streams_.empty()) return;
  issue(nullptr);  // once outside: loads code and connects ranks, which a capture may refuse
  empty_streams();
  FORETRAIN_CUDA_CHECK(cudaStreamBeginCapture(streams_[0], cudaStreamCaptureModeThreadLocal));
  const Event fork(Event::Kind::untimed);
  FORETRAIN_CUDA_CHECK(cudaEventRecord(fork, streams_[0]));
  for (std::size_t s = 1; s < streams_.size(); ++s) FORETRAIN_CUDA_CHECK(cudaStreamWaitEvent(streams_[s], fork, 0));
  issue(nullptr);
  std::vector<Event> joins;
  for (std::size_t s = 1; s < streams_.size(); ++s) {
    joins.emplace_back(Event::Kind::untimed);
    FORETRAIN_CUDA_CHECK(cudaEventRecord(joins.back(), streams_[s]));
    FORETRAIN_CUDA_CHECK(cudaStreamWaitEvent(streams_[0], joins.back(), 0));
  }
  FORETRAIN_CUDA_CHECK(cudaStreamEndCapture(streams_[0], &graph_));
  FORETRAIN_CUDA_CHECK(cudaGraphInstantiateWithFlags(&executable_, graph_, 0));
}

void StepRunner::issue(std::vector<TaskTime>* traced) {
  Clock::time_point host_end = Clock::now();
  for (std::size_t i = 0; i < program_.order.size(); ++i) {
    const Issue& issue = program_.order[i];
    const StepTask& task = file_.tasks[at(issue.task)];
    if (issue.stream < 0) {
      for (const std::int32_t w : issue.waits)
        FORETRAIN_CUDA_CHECK(cudaEventSynchronize(ends_[at(end_of_issue_[at(w)])]));
      if (!how_.paced) continue;
      if (!issue.waits.empty()) host_end = std::max(host_end, Clock::now());
      host_end += std::chrono::nanoseconds(task.predicted_ps / 1000);
      while (Clock::now() < host_end) {
      }
      host_end = std::max(host_end, Clock::now() - std::chrono::microseconds(1));  // late: what is lost stays lost
      continue;
    }
    const cudaStream_t stream = streams_[at(issue.stream)];
    for (const std::int32_t w : issue.waits) {
      FORETRAIN_CUDA_CHECK(cudaStreamWaitEvent(stream, ends_[at(end_of_issue_[at(w)])], 0));
    }
    if (launches_[i]) {
      if (traced != nullptr) FORETRAIN_CUDA_CHECK(cudaEventRecord(starts_traced_[traced->size()], stream));
      const cudaError_t error = launches_[i](stream);
      if (error != cudaSuccess) check_cuda(error, work_text(file_.works[at(task.work)]).c_str(), __FILE__, __LINE__);
      if (traced != nullptr) {
        FORETRAIN_CUDA_CHECK(cudaEventRecord(ends_traced_[traced->size()], stream));
        traced->push_back({issue.task, 0, 0});
      }
    }
    if (end_of_issue_[i] >= 0) FORETRAIN_CUDA_CHECK(cudaEventRecord(ends_[at(end_of_issue_[i])], stream));
  }
}

void StepRunner::empty_streams() {
  for (const Stream& stream : streams_) FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream));
}

void StepRunner::note_memory() {
  std::size_t free = 0, total = 0;
  FORETRAIN_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  memory_.total_bytes = static_cast<std::int64_t>(total);
  memory_.in_use_bytes = std::max(memory_.in_use_bytes, static_cast<std::int64_t>(total - free));
}

StepTime StepRunner::run() {
  StepTime time;
  empty_streams();
  const Clock::time_point begin = Clock::now();
  if (executable_ != nullptr) {
    FORETRAIN_CUDA_CHECK(cudaGraphLaunch(executable_, streams_[0]));
  } else {
    issue(nullptr);
  }
  time.launch_us = microseconds_since(begin);
  empty_streams();
  time.us = microseconds_since(begin);
  note_memory();
  return time;
}

std::vector<TaskTime> StepRunner::run_traced() {
  std::vector<TaskTime> times;
  if (executable_ != nullptr || streams_.empty()) return times;
  const Event begin;
  while (starts_traced_.size() < at(launches_count_)) {
    starts_traced_.emplace_back();
    ends_traced_.emplace_back();
  }
  empty_streams();
  FORETRAIN_CUDA_CHECK(cudaEventRecord(begin, streams_[0]));
  times.reserve(at(launches_count_));
  issue(&times);
  empty_streams();
  for (std::size_t i = 0; i < times.size(); ++i) {
    times[i].start_us = microseconds_between(begin, starts_traced_[i]);
    times[i].us = microseconds_between(starts_traced_[i], ends_traced_[i]);
  }
  note_memory();
  return times;
}

}  // namespace foretrain::gpu
