/// `foretrain validate`: runs a plan's kernels, collectives and steps on the GPUs present, beside what was predicted.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/compare_text.h"
#include "cli/job_input.h"
#include "cli/output.h"
#include "cli/plan_text.h"
#include "cli/subcommands.h"
#include "cli/validate_text.h"
#include "hwmodels/catalogue.h"
#include "planner/graph_file.h"
#include "validate/device/compare_measured.h"
#include "validate/device/gpu_plugin.h"
#include "validate/device/one_rank.h"
#include "validate/device/this_machine.h"
#include "validate/gpu/run/launch_world.h"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

constexpr Seconds kStepsAltogether = 60 * seconds;  // as many steps as fit, three at least

/// A folder that is gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    fs::path pattern = fs::temp_directory_path(error) / "foretrain-XXXXXX";
    std::string name = pattern.string();
    if (error || ::mkdtemp(name.data()) == nullptr) throw MachineError(name + ": cannot make a folder there");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::string read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<GpuMode> modes_of(const ValidateOptions& o) {
  const bool any = o.kernels || o.collectives || o.step || o.correctness;
  std::vector<GpuMode> modes;
  if (o.correctness) modes.push_back(GpuMode::correctness);
  if (o.kernels || !any) modes.push_back(GpuMode::kernels);
  if (o.collectives || !any) modes.push_back(GpuMode::collectives);
  if (o.step || !any) modes.push_back(GpuMode::step);
  return modes;
}
bool has(const std::vector<GpuMode>& modes, GpuMode mode) {
  return std::find(modes.begin(), modes.end(), mode) != modes.end();
}

/// What is to run when there are `gpus` for it: every rank, or one.
ValidationPlan make_plan(const ValidateOptions& o, const std::vector<GpuMode>& modes, const Problem& problem,
                         const PlanReport& report, const StepGraph& step, std::int64_t gpus) {
  const Plan& plan = report.plan;
  ValidationPlan v{.problem = &problem, .report = &report, .works = {}, .rank = {}, .step = {}};
  v.kernels = has(modes, GpuMode::kernels);
  v.collectives = has(modes, GpuMode::collectives);
  v.steps = has(modes, GpuMode::step);
  v.samples = o.samples;
  if (o.rank != "all") {
    v.rank = parse_rank(o.rank, plan);
  } else if (gpus < gpus_used(plan)) {
    v.rank = report.bounding_stage * (gpus_used(plan) / plan.pipeline);  // the slowest stage says most
  }
  v.stage = v.rank ? stage_of_rank(plan, *v.rank) : 0;
  const std::optional<std::int32_t> stage = v.rank ? std::optional(v.stage) : std::nullopt;
  v.works = distinct_works(problem, plan, step, stage);
  v.step = v.rank ? to_seconds(one_rank_step(step, plan, v.stage)) : report.step;
  for (const MemoryAnatomy& m : report.stages)
    if (!stage || m.stage == *stage) v.step_memory = std::max(v.step_memory, m.total);
  v.step_fits = static_cast<double>(v.step_memory) <= report.memory_limit.base();
  const double whole_steps = v.step.base() > 0 ? kStepsAltogether / v.step : o.samples;
  v.step_samples = static_cast<int>(std::clamp(whole_steps, 3.0, std::max(3.0, static_cast<double>(o.samples))));
  return v;
}

/// Runs the modes one after another and keeps what each measured.
class Run {
 public:
  Run(const ValidateOptions& options, const ValidationPlan& v, const StepGraph& step, bool writes_output)
      : options_(options), v_(v), writes_output_(writes_output), start_(std::chrono::steady_clock::now()) {
    graph_ = folder_.file("step.graph");
    write_file(graph_, [&](std::ostream& stream) {
      write_graph(*v.problem, v.report->plan, step, stream,
                  {.rank = v.rank, .version = FORETRAIN_VERSION, .step = to_picoseconds(v.report->step)});
    });
  }

  /// True when the next mode may run.
  bool run(GpuMode mode) {
    const std::string name(kGpuModeNames[static_cast<std::size_t>(mode)]);
    const Seconds left = options_.time_limit * seconds - elapsed();
    if (left <= 1 * seconds) {
      outcome_ = {kMachineFailed, false, fmt::format("time limit: {} s are over before {}", options_.time_limit, name)};
      return false;
    }
    // Beside the output, so that the samples outlive whatever ends this program.
    const bool beside = writes_output_ && !options_.output.empty();
    const std::string part = beside ? options_.output + "." + name : folder_.file(name + ".json");
    std::fprintf(stderr, "%s ...\n", name.c_str());
    outcome_ =
        run_on_gpus({.mode = mode,
                     .graph = graph_,
                     .output = part,
                     .name = to_text(v_.report->plan),
                     .samples = mode == GpuMode::step ? v_.step_samples : v_.samples,
                     .stage = v_.stage,
                     .ranks_per_gpu = mode == GpuMode::step || mode == GpuMode::kernels ? 1 : options_.ranks_per_gpu,
                     .cuda_graphs = mode == GpuMode::step && v_.problem->software.cuda_graphs,
                     .paced = mode == GpuMode::step && !v_.problem->software.cuda_graphs,
                     .time_limit = left});
    std::error_code error;
    if (writes_output_ && fs::is_regular_file(part, error)) {
      texts_.push_back(read_text(part));
      if (beside) parts_.push_back(part);
      keep();
    }
    return outcome_.exit_code == kDone;
  }

  /// What was measured so far.
  [[nodiscard]] std::string joined() const {
    const std::string facts =
        fmt::format(R"({{"foretrain": "{}", "plan": {}}})", FORETRAIN_VERSION, to_json(v_.report->plan));
    return join_measurements(texts_, facts);
  }
  [[nodiscard]] bool has_samples() const { return !texts_.empty(); }
  [[nodiscard]] const GpuOutcome& outcome() const { return outcome_; }

 private:
  [[nodiscard]] Seconds elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count() * seconds;
  }
  /// Puts what there is into the output, and only then removes the parts.
  void keep() {
    if (options_.output.empty()) return;
    write_file(options_.output, joined());
    std::error_code ignored;
    for (const std::string& part : parts_) fs::remove(part, ignored);
    parts_.clear();
  }

  const ValidateOptions& options_;
  const ValidationPlan& v_;
  bool writes_output_;
  std::chrono::steady_clock::time_point start_;
  TemporaryFolder folder_;
  std::string graph_;
  std::vector<std::string> texts_, parts_;
  GpuOutcome outcome_;
};

/// The machine that runs, and how many GPUs it has over all of its processes.
struct Machine {
  GpuMachine gpus;
  gpu::LaunchWorld world;
  std::int64_t count = 0;
};

/// MachineError for what is missing. From then on `problem` is one on the GPUs that are there.
Machine find_machine(Problem& problem, const Catalogue& catalogue) {
  Machine machine{.gpus = probe_gpus(), .world = gpu::launch_world()};
  if (machine.gpus.lack != GpuLack::nothing) throw MachineError(machine.gpus.why);
  machine.count = std::max<std::int64_t>(machine.world.size > 1 ? machine.world.size : 0, machine.gpus.devices);
  if (!use_gpu(problem, machine.gpus.device_name, catalogue))
    std::fprintf(stderr, "foretrain: %s is not in the catalogue: predictions are for %s\n",
                 machine.gpus.device_name.c_str(), problem.cluster.gpu.name.c_str());
  return machine;
}

std::string heading(const ValidationPlan& v, const Machine& machine, const std::string& planned) {
  std::string text = describe(*v.problem) + "\n" + to_text(v.report->plan) + "\n";
  text += fmt::format("On {} {} ({})", machine.count, machine.gpus.device_name, machine.gpus.versions);
  if (planned != v.problem->cluster.gpu.name)
    text += fmt::format("; predictions are for {}, not the plan's {}", v.problem->cluster.gpu.name, planned);
  text += ".\n";
  if (v.rank)
    text += fmt::format("Rank {} (stage {}) of {} runs by itself; stand-ins hold its messages' places.\n", *v.rank,
                        v.stage, gpus_used(v.report->plan));
  return text;
}

/// Why a mode is not run; "" when it is.
std::string left_out(GpuMode mode, const ValidateOptions& o, const ValidationPlan& v, const Machine& machine) {
  if (mode == GpuMode::step && !v.step_fits)
    return fmt::format("it needs {}, and a GPU has {}", to_text(static_cast<double>(v.step_memory) * bytes),
                       to_text(v.report->memory_limit));
  if (mode == GpuMode::collectives && !o.collectives && machine.count * o.ranks_per_gpu < 2)
    return "there is one GPU (--collectives --ranks-per-gpu 2 lets ranks share it)";
  return {};
}

/// Prints what was measured beside what was predicted; false when parallel execution gave wrong results.
bool print_results(const ValidateOptions& options, const ValidationPlan& v, const Run& run, const std::string& head) {
  const MeasuredRun measured = read_measured(SpecNode::parse(run.joined(), "measurements"));
  const Comparison comparison =
      compare_measured(measured, {.works = v.works, .step = v.step, .peak_memory = v.step_memory}, *v.problem);
  if (options.format == Format::json) {
    print(validation_json(v, measured, comparison));
  } else {
    std::string text = head;
    if (!comparison.rows.empty() || !comparison.refused.empty()) text += "\n" + comparison_text(comparison, true);
    if (!measured.checks.empty()) text += "\n" + checks_text(measured.checks);
    print(text);
  }
  return std::all_of(measured.checks.begin(), measured.checks.end(), [](const MeasuredCheck& c) { return c.passed; });
}

}  // namespace

int validate(const ValidateOptions& options) {
  const SpecNode job = read_job(options.job, options.plan);
  Problem problem = load_with_plan(job, options.job);
  const std::string planned = problem.cluster.gpu.name;
  const std::vector<GpuMode> modes = modes_of(options);
  Machine machine{.gpus = {}, .world = {}, .count = gpus_used(*problem.plan)};  // a dry run: as the plan wants
  if (!options.dry_run) machine = find_machine(problem, Catalogue::load());

  const PlanReport report = evaluate(problem, *problem.plan, {.even_if_too_big = true});
  if (report.step.base() <= 0) {
    print(to_text(report.plan) + "\n" + refusal_text(report));
    return kNothingFits;
  }
  const StepGraph step = kernel_step(problem, report.plan);
  const ValidationPlan v = make_plan(options, modes, problem, report, step, machine.count);
  if (options.dry_run) {
    print(options.format == Format::json ? dry_run_json(v) : dry_run_text(v));
    return v.step_fits || !options.step ? kDone : kNothingFits;
  }

  const bool speaks = machine.world.rank == 0;
  Run run(options, v, step, speaks);
  for (const GpuMode mode : modes) {
    const std::string why = left_out(mode, options, v, machine);
    if (why.empty() && !run.run(mode)) break;
    if (!why.empty() && speaks)
      std::fprintf(stderr, "%s: left out: %s\n", kGpuModeNames[static_cast<std::size_t>(mode)].data(), why.c_str());
  }
  bool right = true;
  if (speaks && run.has_samples()) right = print_results(options, v, run, heading(v, machine, planned));
  const GpuOutcome& outcome = run.outcome();
  std::string kept;
  if (run.has_samples() && !options.output.empty()) kept = "; the samples so far are in " + options.output;
  if (outcome.exit_code == kBadInput) throw SpecError("validate", outcome.message + kept);
  if (outcome.exit_code != kDone) throw MachineError(outcome.message + kept);
  if (!right) throw MachineError("parallel execution gave wrong results");
  return kDone;
}

}  // namespace foretrain::cli
