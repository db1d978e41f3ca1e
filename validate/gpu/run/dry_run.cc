// foretrain-gpu --dry-run: what a run would do, without a GPU.
#include <cstdio>
#include <map>
#include <numeric>

#include "base/spec_error.h"
#include "validate/gpu/run/block_plan.h"
#include "validate/gpu/run/session.h"

namespace foretrain::gpu {
namespace {

std::string line(const char* format, double a, double b = 0, double c = 0) {
  char text[256];
  std::snprintf(text, sizeof text, format, a, b, c);
  return std::string(text) + "\n";
}

}  // namespace

std::string dry_run_text(const Options& options) {
  if (options.graph.empty()) throw SpecError("--dry-run", "expected a graph file");
  const StepFile file = read_step_file(options.graph);
  if (file.stages.empty()) throw SpecError(options.graph, "expected a stage; the file has none");
  const std::int32_t stage = options.stage >= 0 ? options.stage : file.stages.front().index;
  const Launching launching = options.cuda_graphs ? Launching::captured : Launching::from_host;
  const Program program = make_program(file, stage, launching);
  const BlockPlan blocks = plan_blocks(file, program);

  std::map<std::int32_t, std::int64_t> kernels, messages;
  double kernel_ms = 0, message_ms = 0;
  std::size_t waits = 0;
  for (const Issue& issue : program.order) {
    const StepTask& task = file.tasks[static_cast<std::size_t>(issue.task)];
    waits += issue.waits.size();
    if (task.work < 0) continue;
    const bool message = std::holds_alternative<Message>(file.works[static_cast<std::size_t>(task.work)]);
    ++(message ? messages : kernels)[task.work];
    (message ? message_ms : kernel_ms) += static_cast<double>(task.predicted_ps) / 1e9;
  }
  const auto sum = [](const std::map<std::int32_t, std::int64_t>& uses) {
    return std::accumulate(uses.begin(), uses.end(), 0.0,
                           [](double s, const auto& u) { return s + static_cast<double>(u.second); });
  };
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  const double reserved = std::accumulate(blocks.segments.begin(), blocks.segments.end(), 0.0);
  std::string text = plan_name(options) + ": stage " + std::to_string(stage) + " of " +
                     std::to_string(file.world.pipeline) + ", one of " + std::to_string(file.world.gpus) + " ranks\n";
  text += line("  kernels    %8.0f launches of %.0f distinct ones, predicted %.3f ms", sum(kernels),
               static_cast<double>(kernels.size()), kernel_ms);
  text += line("  messages   %8.0f of %.0f distinct ones, predicted %.3f ms", sum(messages),
               static_cast<double>(messages.size()), message_ms);
  text += line("  streams    %8.0f, with %.0f waits between them", static_cast<double>(program.stream_lane.size()),
               static_cast<double>(waits));
  text += line("  memory     %8.2f GiB static, %.2f GiB reserved for what comes and goes (%.2f GiB at once)",
               static_cast<double>(blocks.static_bytes) / kGiB, reserved / kGiB,
               static_cast<double>(blocks.most_effects) / kGiB);
  text += line("  step       %8.3f ms predicted for this rank alone",
               static_cast<double>(predicted_ps(file, program, launching)) / 1e9);
  return text;
}

}  // namespace foretrain::gpu
