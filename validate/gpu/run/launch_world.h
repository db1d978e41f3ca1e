/// Which processes take part in a run, as whoever started them says, and how they hand each other a few bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace foretrain::gpu {

/// One process of a run.
struct LaunchWorld {
  std::int32_t rank = 0, size = 1;
  std::int32_t local_rank = 0;  ///< on its node: which GPU it takes
  std::int32_t local_size = 0;  ///< processes on its node; 0: not said
  std::string started_by;       ///< "RANK", "SLURM_PROCID", ...; empty for a single process
  std::string job;              ///< what tells this run from others on the same file system; may be empty
};

/// Looks a variable up; gives null when it is not set.
using Environment = std::function<const char*(const char*)>;
const char* process_environment(const char* name);

/// RANK/WORLD_SIZE/LOCAL_RANK (torchrun), OMPI_COMM_WORLD_*, PMI_*, srun's SLURM_PROCID/SLURM_STEP_NUM_TASKS, in this
/// order. Throws SpecError when a rank comes without a size, or does not fit.
LaunchWorld launch_world(const Environment& environment = process_environment);

/// The file through which the processes of a run meet: `wanted`, or one in the current folder named after the job.
/// Throws SpecError when neither says which.
std::string rendezvous_file(const std::string& wanted, const LaunchWorld& world);

/// Writes `bytes` so that a reader sees all of them or none. Throws MachineError.
void publish(const std::string& path, std::string_view bytes);
/// Waits for a file of `size` bytes. Throws MachineError "... did not arrive within N s" after `limit`.
std::string await(const std::string& path, std::size_t size, std::chrono::duration<double> limit);

}  // namespace foretrain::gpu
