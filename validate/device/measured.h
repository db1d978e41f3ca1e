/// Measurement files (`foretrain.measurements/1`) of a plan: read for comparison, and joined into one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/collective_time.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// A sample: its median, or why there is none.
struct MeasuredTime {
  std::optional<Seconds> median;
  double spread = 0;  ///< (90th - 10th percentile) / median
  std::int64_t samples = 0;
  std::string skipped;
};
struct MeasuredKernel {
  Kernel kernel;
  MeasuredTime time;
};
struct MeasuredCollective {
  CollectiveOp op = CollectiveOp::all_reduce;
  std::int64_t bytes = 0, ranks = 1;
  std::int64_t ranks_per_node = 0;  ///< 0: not said
  std::int64_t gpus = 0;            ///< fewer than ranks where several shared one; 0: not said
  MeasuredTime time;
};
struct MeasuredStep {
  std::string name;
  std::int64_t rank = 0;
  bool cuda_graph = false;
  MeasuredTime time;
  std::vector<MeasuredKernel> kernels;  ///< as they ran inside it
};
struct MeasuredMemory {
  std::string name;
  std::int64_t rank = 0, peak_bytes = 0;
};
/// One check of parallel execution against the unsharded reference.
struct MeasuredCheck {
  std::string name;
  bool passed = false;
  std::string detail;
};

struct MeasuredRun {
  std::string gpu;  ///< as the driver calls it; "" when the file does not say
  bool complete = true;
  std::vector<MeasuredKernel> kernels;
  std::vector<MeasuredCollective> collectives;
  std::vector<MeasuredStep> steps;
  std::vector<MeasuredMemory> memory;
  std::vector<MeasuredCheck> checks;
  std::vector<std::string> failures;  ///< "what: why"
};

/// SpecError for what is no measurement file. Lists and keys that it does not know are left alone.
MeasuredRun read_measured(const SpecNode& file);

/// The files' texts as one: lists one after the other, `device` and every other key of the first that has it; complete
/// when all are. `facts` is a JSON object whose keys come first. SpecError when a text is no JSON object.
std::string join_measurements(const std::vector<std::string>& texts, std::string_view facts);

}  // namespace foretrain
