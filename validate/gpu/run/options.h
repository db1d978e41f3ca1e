/// What a run is asked to do: the command line of foretrain-gpu, or a request through the library's interface.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::gpu {

enum class Mode : std::uint8_t { none, kernels, collectives, step, correctness, device };
inline constexpr std::array<std::string_view, 6> kModeNames = {"none", "kernels",     "collectives",
                                                               "step", "correctness", "device"};

struct Options {
  Mode mode = Mode::none;
  bool help = false;
  bool append = false;   ///< to the measurements that are in the output already
  bool dry_run = false;  ///< say what would run; needs no GPU
  std::string graph;     ///< empty: none
  std::string output;    ///< empty: stdout
  std::string name;      ///< of the plan in the results; empty: the graph's file name
  std::int32_t samples = 20;
  std::int32_t stage = -1;  ///< of the plan; -1: the file's first
  std::int32_t ranks_per_gpu = 1;
  bool cuda_graphs = false;
  bool paced = false;     ///< host tasks take their predicted time
  bool one_rank = false;  ///< one rank alone, although there are GPUs for all
  double time_limit_seconds = 600;
  std::string rendezvous;  ///< file through which processes meet; empty: chosen by who starts them
};

/// `arguments` without the program's name. Throws SpecError for what it does not know or what does not fit together.
Options read_options(const std::vector<std::string>& arguments);
std::string usage();

/// A graph's name in the results: --name, or its file name without folder and ending.
std::string plan_name(const Options& options);

}  // namespace foretrain::gpu
