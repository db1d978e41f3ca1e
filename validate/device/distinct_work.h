/// The distinct kernels and collectives of a step: what is measured once, however often the step runs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/graph_file.h"

namespace foretrain {

struct DistinctWork {
  Work work;
  std::string text;         ///< as graph files write it
  std::int64_t ranks = 1;   ///< that take part; 1 for a kernel
  GroupLayout group;        ///< of a collective
  std::int64_t count = 0;   ///< tasks that do it
  Picoseconds in_step;      ///< what such a task takes inside the step
  Picoseconds alone;        ///< what it takes by itself on an idle GPU
  std::int64_t needed = 0;  ///< bytes of device memory to run it
};

/// Those of one stage (of all without), in the order in which the step first uses them. Messages count where they
/// arrive. `problem` gives the GPU.
std::vector<DistinctWork> distinct_works(const Problem& problem, const Plan& plan, const StepGraph& step,
                                         std::optional<std::int32_t> stage);

/// Whether it is a kernel, and not a collective.
bool is_kernel(const DistinctWork& work);

/// Where the ranks of a plan's group lie.
GroupLayout layout_of(WorkGroup group, const Plan& plan, const ClusterSpec& cluster);

/// Time to measure `work`: allocation and random data, warm-up, `samples` with a cold L2 cache.
Seconds measuring_time(const DistinctWork& work, const GpuSpec& gpu, int samples);

}  // namespace foretrain
