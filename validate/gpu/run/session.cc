#include "validate/gpu/run/session.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <nccl.h>

#include "base/spec_error.h"
#include "validate/gpu/run/cuda_objects.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/foretrain_gpu_api.h"
#include "validate/gpu/run/launch_world.h"
#include "validate/gpu/run/nccl_world.h"
#include "validate/gpu/run/run_context.h"
#include "validate/gpu/run/shared_gpu.h"

namespace foretrain::gpu {
namespace {

/// Which ranks there are, and how this process's meet the others.
struct Ranks {
  std::int32_t first = 0;  ///< of this process
  std::int32_t here = 1;   ///< threads of this process, a GPU each
  std::int32_t all = 1;
  std::int32_t device = 0;  ///< of the first rank here
  std::int32_t gpus = 1;    ///< of all ranks together
  std::int32_t per_node = 0;
  ncclUniqueId id{};
  std::string meeting;  ///< file that the others find the id in, of the process that wrote it
};

/// So that a later run does not find this one's id.
void end_meeting(const Ranks& ranks) {
  if (!ranks.meeting.empty()) std::remove(ranks.meeting.c_str());
}

/// How many ranks the mode wants of a process that has `devices` GPUs for itself.
std::int32_t wanted_ranks(const Options& o, const StepFile* file, std::int32_t devices) {
  switch (o.mode) {
    case Mode::collectives:
    case Mode::correctness:
      return devices;
    case Mode::step: {
      const bool whole = static_cast<std::int32_t>(file->stages.size()) == file->world.pipeline;
      return whole && !o.one_rank && file->world.gpus <= devices ? file->world.gpus : 1;
    }
    default:
      return 1;
  }
}

Ranks find_ranks(const Options& o, const StepFile* file, std::int32_t devices) {
  Ranks ranks;
  const LaunchWorld world = launch_world();
  if (world.size == 1) {
    ranks.here = ranks.all = ranks.gpus = ranks.per_node = wanted_ranks(o, file, devices);
    if (ranks.all > 1) FORETRAIN_NCCL_CHECK(ncclGetUniqueId(&ranks.id));
    return ranks;
  }
  if (o.mode == Mode::step && file->world.gpus != world.size) {
    throw SpecError(world.started_by, "expected " + std::to_string(file->world.gpus) +
                                          " processes, as the plan has ranks; got " + std::to_string(world.size));
  }
  ranks.first = world.rank;
  ranks.all = world.size;
  ranks.gpus = o.ranks_per_gpu > 1 ? std::max(1, world.size / o.ranks_per_gpu) : world.size;
  ranks.device = world.local_rank % devices;
  ranks.per_node = o.ranks_per_gpu > 1 ? 0 : world.local_size;
  if (process_environment("NCCL_COMM_ID") != nullptr) {  // host:port says where the first rank listens
    FORETRAIN_NCCL_CHECK(ncclGetUniqueId(&ranks.id));
    return ranks;
  }
  // Each mode meets anew.
  const std::string meeting =
      rendezvous_file(o.rendezvous, world) + "." + std::string(kModeNames[static_cast<std::size_t>(o.mode)]);
  if (world.rank == 0) {
    ranks.meeting = meeting;
    FORETRAIN_NCCL_CHECK(ncclGetUniqueId(&ranks.id));
    publish(meeting, {ranks.id.internal, sizeof ranks.id.internal});
  } else {
    const std::string bytes =
        await(meeting, sizeof ranks.id.internal, std::chrono::duration<double>(std::min(120.0, o.time_limit_seconds)));
    std::copy(bytes.begin(), bytes.end(), ranks.id.internal);
  }
  return ranks;
}

Outcome run_mode(RunContext& context) {
  switch (context.options.mode) {
    case Mode::kernels:
      return run_kernels(context);
    case Mode::collectives:
      return run_collectives(context);
    case Mode::step:
      return run_step(context);
    case Mode::correctness:
      return run_correctness(context);
    default: {
      const Clocks clocks;
      context.results.describe_device(device_json(clocks, context.gpus, {clocks.read()}));
      return {};
    }
  }
}

/// One line, whatever the library said.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

/// One rank from its beginning to its end.
Outcome run_rank(const Options& options, const StepFile* file, const Ranks& ranks, std::int32_t here, Results& results,
                 const std::function<void(const std::string&)>& say) {
  try {
    FORETRAIN_CUDA_CHECK(cudaSetDevice(ranks.device + here));
    Watchdog dog([&ranks](const std::string& line) {
      end_meeting(ranks);
      Watchdog::end_process(line);
    });
    const auto limit = std::chrono::duration<double>(options.time_limit_seconds);
    RunContext context{.options = options,
                       .file = file,
                       .results = results,
                       .dog = dog,
                       .rank = ranks.first + here,
                       .ranks = ranks.all,
                       .gpus = ranks.gpus,
                       .ranks_per_node = ranks.per_node,
                       .end = std::chrono::steady_clock::now() +
                              std::chrono::duration_cast<std::chrono::steady_clock::duration>(limit),
                       .say = {}};
    context.say = context.writes() ? say : [](const std::string&) {};
    std::unique_ptr<NcclWorld> nccl;
    if (ranks.all > 1) {
      nccl = std::make_unique<NcclWorld>(context.rank, ranks.all, ranks.id, dog,
                                         std::min(120.0, options.time_limit_seconds));
      context.nccl = nccl.get();
    }
    end_meeting(ranks);  // all have come, and so have read it
    return run_mode(context);
  } catch (const SpecError& e) {
    end_meeting(ranks);
    return {2, one_line(e.what())};
  } catch (const std::exception& e) {
    end_meeting(ranks);
    return {3, one_line(e.what())};
  }
}

/// The first rank here, and the others beside it. A rank that fails alone leaves the others to the watchdog.
Outcome run_ranks_here(const Options& options, const StepFile* file, const Ranks& ranks, Results& results,
                       const std::function<void(const std::string&)>& say) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks.here));
  std::vector<Results> unwritten(static_cast<std::size_t>(ranks.here), Results(""));
  std::vector<std::thread> others;
  for (std::int32_t r = 1; r < ranks.here; ++r) {
    others.emplace_back([&, r] {
      Outcome& outcome = outcomes[static_cast<std::size_t>(r)];
      outcome = run_rank(options, file, ranks, r, unwritten[static_cast<std::size_t>(r)], say);
      if (outcome.status != 0) say("rank " + std::to_string(ranks.first + r) + ": " + outcome.line);
    });
  }
  Results& mine = ranks.first == 0 ? results : unwritten[0];
  outcomes[0] = run_rank(options, file, ranks, 0, mine, say);
  for (std::thread& t : others) t.join();
  for (const Outcome& o : outcomes) {
    if (o.status != 0) return o;
  }
  return {};
}

}  // namespace

Outcome out_of_time(const RunContext& context, const std::string& before) {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%g", context.options.time_limit_seconds);
  const std::string line = std::string("the time limit of ") + seconds + " s ended the run after " + before;
  return {3, line};
}

SessionEnd run_session(const Options& options, const std::function<void(const std::string&)>& say) {
  Results results(options.output);
  // A step has a stream for each lane. Streams that share one of the device's (by default 8) queues wait for each
  // other, and where one of them waits for a peer the whole plan can come to a stop. Read when the device is first
  // used.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  try {
    if (options.append) results.continue_file();
    std::optional<StepFile> file;
    if (!options.graph.empty()) file = read_step_file(options.graph);
    if (options.ranks_per_gpu > 1 && !is_started_rank()) {
      const int status = run_ranks(standalone_program(), options);
      return {status, status == 0 ? "" : "a rank failed; its line stands above"};
    }
    const DeviceState state = device_state();
    if (state.state != FORETRAIN_GPU_READY) throw MachineError(state.line);
    const StepFile* graph = file ? &*file : nullptr;
    const Ranks ranks = find_ranks(options, graph, state.devices);
    const Outcome outcome = run_ranks_here(options, graph, ranks, results, say);
    if (ranks.first == 0) {
      if (outcome.status != 0) results.fail(kModeNames[static_cast<std::size_t>(options.mode)], outcome.line);
      results.write(outcome.status == 0);
      if (options.output.empty()) std::fputs(results.text(outcome.status == 0).c_str(), stdout);
    }
    return {outcome.status, outcome.line};
  } catch (const SpecError& e) {
    return {2, one_line(e.what())};
  } catch (const std::exception& e) {
    return {3, one_line(e.what())};
  }
}

}  // namespace foretrain::gpu
