/// Measured training runs from `foretrain.runs/1` files (docs/FORMAT.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "hwmodels/catalogue.h"
#include "planner/problem.h"

namespace foretrain {

/// Which bytes a measurement of memory counts, and on which pipeline stages.
struct MemoryMeasure {
  enum class Counts { allocated, reserved, device };  ///< tensors; the allocator's pool; all that the driver sees
  enum class Where { any_stage, last_stage, first_or_last_stage };
  Counts counts = Counts::device;
  Where where = Where::any_stage;
};

/// What a measurement of memory means, from the words of `peak_memory_kind`: "allocated" or "reserved" (PyTorch's
/// figures; the latter when it is not stated which of them), otherwise the device's; "LAST rank", "first/last",
/// otherwise the largest.
MemoryMeasure memory_measure(const std::string& kind);

/// One measured run: the problem it solved (with its plan), or why we cannot pose it, and what was measured.
struct RunRow {
  std::string id;
  std::string source;              ///< `source.name`, or the file's name
  std::string grade;               ///< "" when not given
  bool ran_out_of_memory = false;  ///< a boundary point: grade OOM
  std::optional<Problem> problem;
  std::string refusal;          ///< why there is no problem; "" when there is
  std::optional<Seconds> step;  ///< measured, or derived from a measured rate
  std::optional<Bytes> peak_memory;
  MemoryMeasure memory;
};

/// True when `path` holds JSON whose `schema` is "foretrain.runs/1".
bool is_runs_file(const SpecNode& file);

/// The rows of a file, in order. A row whose GPU, framework, precision, schedule or model is unknown or not modelled is
/// refused; malformed ones throw SpecError. Rates become seconds per step:
///
///     step = global_batch sequence / (tokens_per_second_per_gpu gpus)
///     step = FLOPs of the step by the source's own convention / (tflops_per_gpu 1e12 gpus)
std::vector<RunRow> read_run_rows(const SpecNode& file, const Catalogue& catalogue);

}  // namespace foretrain
