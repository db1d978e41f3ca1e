/// What every mode of a run has at hand: the options, the graph, this rank among others, where results go.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "validate/gpu/run/graph_file.h"
#include "validate/gpu/run/options.h"
#include "validate/gpu/run/results.h"
#include "validate/gpu/run/watchdog.h"

namespace foretrain::gpu {

class NcclWorld;

/// One rank of a run. Only rank 0 writes results and speaks.
struct RunContext {
  const Options& options;
  const StepFile* file = nullptr;  ///< null: a run without a graph
  Results& results;
  Watchdog& dog;
  NcclWorld* nccl = nullptr;  ///< null: this rank is alone
  std::int32_t rank = 0, ranks = 1;
  std::int32_t gpus = 1;            ///< that the ranks have together
  std::int32_t ranks_per_node = 0;  ///< consecutive ranks share a node; 0: not known
  std::chrono::steady_clock::time_point end;
  std::function<void(const std::string&)> say;

  [[nodiscard]] bool writes() const { return rank == 0; }
  [[nodiscard]] double seconds_left() const {
    return std::chrono::duration<double>(end - std::chrono::steady_clock::now()).count();
  }
};

/// What a mode came to: 0, 2 or 3, and one line when it is not 0.
struct Outcome {
  int status = 0;
  std::string line;
};

Outcome run_kernels(RunContext& context);
Outcome run_collectives(RunContext& context);
Outcome run_step(RunContext& context);
Outcome run_correctness(RunContext& context);

/// The line of a run that its time limit ended: its samples so far stand.
Outcome out_of_time(const RunContext& context, const std::string& before);

}  // namespace foretrain::gpu
