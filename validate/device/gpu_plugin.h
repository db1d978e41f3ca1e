/// The GPU library: found and loaded at run time, so that a program without CUDA stays whole.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace foretrain {

/// What is missing on the way to a GPU.
enum class GpuLack : std::uint8_t {
  nothing,
  plugin,     ///< built without CUDA
  version,    ///< a library of another version of the program
  libraries,  ///< CUDA, cuDNN or NCCL
  driver,
  device,
  answer  ///< it ended before it said
};

/// What a machine has to run plans on.
struct GpuMachine {
  GpuLack lack = GpuLack::nothing;
  std::string why;  ///< one line, when something is missing
  std::int64_t devices = 0;
  std::string device_name;  ///< as the driver calls the first one
  std::string versions;     ///< "NCCL 2.28.9, cuBLASLt 13.1, cuDNN 9.19"
};

/// Where the library may be, in order: the file that the environment variable FORETRAIN_GPU_PLUGIN names, and then
/// nowhere else; ../lib/foretrain beside the program's folder (installed); ../validate/gpu and its folders (built).
std::vector<std::string> gpu_plugin_places();

/// Loads the library in a child process and asks it. Never fails: what is wrong is in the result.
GpuMachine probe_gpus();

/// What the GPU library is to run (foretrain_gpu_api.h).
enum class GpuMode : std::uint8_t { kernels, collectives, step, correctness };
inline constexpr std::array<std::string_view, 4> kGpuModeNames = {"kernels", "collectives", "step", "correctness"};
struct GpuRequest {
  GpuMode mode = GpuMode::kernels;
  std::string graph;   ///< a graph file; "" where the mode needs none
  std::string output;  ///< the measurements
  std::string name;    ///< of the plan, in the measurements
  int samples = 20;
  int stage = 0;  ///< of the graph, where one rank runs
  int ranks_per_gpu = 1;
  bool cuda_graphs = false;
  bool paced = false;  ///< the host takes the time that the graph says
  Seconds time_limit = 600 * seconds;
};

/// How a request ended: 0, 2 (the input is wrong) or 3 (the machine failed), with one line when it is not 0. The output
/// holds the samples taken until then.
struct GpuOutcome {
  int exit_code = 0;
  bool interrupted = false;
  std::string message;
};

/// Runs `request` in a child process. A library that does not end by itself is stopped 30 s after its time limit.
GpuOutcome run_on_gpus(const GpuRequest& request);

}  // namespace foretrain
