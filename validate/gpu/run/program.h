/// One rank's program: the order in which its host thread issues a step's tasks, and which streams wait for which.
#pragma once

#include <cstdint>
#include <vector>

#include "validate/gpu/run/graph_file.h"

namespace foretrain::gpu {

/// One task, as it is issued. A lane becomes a stream; the host lane is the issuing thread.
struct Issue {
  std::int32_t task = 0;
  std::int32_t stream = -1;         ///< -1: the host
  std::vector<std::int32_t> waits;  ///< indices into Program::order, on other streams, that must have ended before
  bool marks_end = false;           ///< another issue waits for it
};

struct Program {
  std::int32_t stage = 0;
  std::vector<std::int32_t> stream_lane;  ///< [stream] lane of the file
  std::vector<Issue> order;
};

enum class Launching : std::uint8_t {
  from_host,  ///< the host thread waits where the graph says so
  captured    ///< in a CUDA graph: what waited for the host waits for what the host waited for
};

/// The program of a rank of `stage`: the tasks of its lanes and of what all stages do together. Tasks of a lane keep
/// their order; ties go to the earlier task of the file. Only waits that nothing implies are kept. Where a task waits
/// for another stage's receive, it waits for this stage's send. Throws SpecError when tasks wait for each other in a
/// circle, or the file has no such stage.
Program make_program(const StepFile& file, std::int32_t stage, Launching launching);

/// Whether `lane` belongs to the program of `stage`, and a task on it with `work` (-1: none) too.
bool takes_part(const StepFile& file, const StepTask& task, std::int32_t stage);

/// The step's time when every task takes what it was predicted to, in picoseconds: the longest path through lanes and
/// dependencies. Host tasks take their time only with Launching::from_host. [task] ends, if wanted.
std::int64_t predicted_ps(const StepFile& file, const Program& program, Launching launching);

}  // namespace foretrain::gpu
