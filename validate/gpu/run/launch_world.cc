#include "validate/gpu/run/launch_world.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include <unistd.h>

#include "base/spec_error.h"

namespace foretrain::gpu {
namespace {

struct Launcher {
  const char *rank, *size, *local_rank, *local_size, *job;
};
// torchrun and our own processes; Slurm; Open MPI; MPICH, Intel MPI and other PMI starters.
constexpr std::array kLaunchers = {
    Launcher{"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"},
    Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
             "PMIX_NAMESPACE"},
    Launcher{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_JOBID"},
    // Set in steps that srun starts; a batch script alone is one process, whatever SLURM_NTASKS says.
    Launcher{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_ID"},
};

std::int32_t whole(const char* name, const char* text, std::int32_t least) {
  const std::string_view t(text);
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
  if (error != std::errc{} || end != t.data() + t.size() || value < least) {
    throw SpecError(
        name, "expected a whole number of at least " + std::to_string(least) + "; got \"" + std::string(t) + "\"");
  }
  return value;
}

}  // namespace

const char* process_environment(const char* name) { return std::getenv(name); }

LaunchWorld launch_world(const Environment& environment) {
  LaunchWorld world;
  for (const Launcher& l : kLaunchers) {
    const char* rank = environment(l.rank);
    if (rank == nullptr) continue;
    const char* size = environment(l.size);
    if (size == nullptr && std::string_view(l.rank) == "SLURM_PROCID") continue;
    if (size == nullptr) throw SpecError(l.size, std::string("expected to be set, as ") + l.rank + " is");
    world.rank = whole(l.rank, rank, 0);
    world.size = whole(l.size, size, 1);
    if (world.rank >= world.size) {
      throw SpecError(l.rank, "expected less than " + std::string(l.size) + " = " + std::to_string(world.size) +
                                  "; got " + std::to_string(world.rank));
    }
    if (const char* local = environment(l.local_rank)) world.local_rank = whole(l.local_rank, local, 0);
    if (const char* local = environment(l.local_size)) world.local_size = whole(l.local_size, local, 1);
    if (const char* job = environment(l.job)) world.job = job;
    world.started_by = l.rank;
    if (const char* step = environment("SLURM_STEP_ID"); step != nullptr && world.started_by == "SLURM_PROCID") {
      world.job += std::string(".") + step;  // steps of a job may run side by side
    }
    return world;
  }
  return world;
}

std::string rendezvous_file(const std::string& wanted, const LaunchWorld& world) {
  if (!wanted.empty()) return wanted;
  if (const char* path = std::getenv("FORETRAIN_RENDEZVOUS")) return path;
  if (world.job.empty()) {
    throw SpecError("--rendezvous", "expected a file on a file system that all processes see, new for each run");
  }
  std::string name = "foretrain-rendezvous-";
  for (const char c : world.job) name += (c == '/' || c == ' ') ? '_' : c;
  return name;
}

void publish(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".part" + std::to_string(getpid());
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.flush();
    if (!file) throw MachineError(beside + ": cannot be written");
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) throw MachineError(path + ": cannot be replaced");
}

std::string await(const std::string& path, std::size_t size, std::chrono::duration<double> limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    std::ifstream file(path, std::ios::binary);
    if (file) {
      std::ostringstream text;
      text << file.rdbuf();
      if (text.str().size() == size) return text.str();
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      std::ostringstream seconds;
      seconds << limit.count();
      throw MachineError(path + ": the first process did not arrive within " + seconds.str() + " s");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace foretrain::gpu
