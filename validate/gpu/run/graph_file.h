/// The reader of graph files: one training step, kernel by kernel, as `foretrain simulate --graph` writes it.
///
/// Own types, no planner: what runs on the GPUs builds without it. The format stands in docs/FORMAT.md.
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "hwmodels/collective_time.h"
#include "hwmodels/kernel.h"

namespace foretrain::gpu {

/// Which ranks take part in a message. Names and order as in planner/work.h (a test compares them).
enum class Group : std::uint8_t { tensor, context, data, shard, replica, model, embedding, next, previous };
inline constexpr std::array<std::string_view, 9> kGroupNames = {"tensor", "context",   "data", "shard",   "replica",
                                                                "model",  "embedding", "next", "previous"};

/// A collective, or one end of a send_recv. `bytes` as CollectiveTime counts them.
struct Message {
  CollectiveOp op = CollectiveOp::all_reduce;
  std::int64_t bytes = 0;
  Group group = Group::data;
  bool sends = false;
  friend bool operator==(const Message&, const Message&) = default;
};
using StepWork = std::variant<Gemm, Attention, MemoryKernel, Message>;

enum class StepLaneKind : std::uint8_t { host, compute, communication, copy };
inline constexpr std::array<std::string_view, 4> kStepLaneNames = {"host", "compute", "communication", "copy"};

/// rank = ((p * data + d) * context + c) * tensor + t.
struct World {
  std::int32_t gpus = 1, tensor = 1, context = 1, data = 1, pipeline = 1;
  std::int32_t shard = 1;          ///< ranks that share sharded parameters or optimizer states
  std::int32_t nvlink_domain = 1;  ///< GPUs
};
struct StepStage {
  std::int32_t index = 0;
  std::int32_t layers = 0;
};
/// stage -1: what all stages do together.
struct StepLane {
  std::int32_t stage = 0;
  StepLaneKind kind = StepLaneKind::compute;
  std::string name;
};
struct StaticMemory {
  std::int32_t stage = 0;
  std::string label;
  std::int64_t bytes = 0;
};
struct StepTask {
  std::int32_t lane = 0;  ///< index into lanes
  std::int64_t predicted_ps = 0;
  std::int32_t label = 0;                       ///< index into labels
  std::int32_t micro_batch = -1, part = -1;     ///< -1: none
  std::int32_t work = -1;                       ///< index into works; -1: nothing to run
  std::int32_t first_dependency = 0, last = 0;  ///< [first_dependency, last) in dependencies
};
/// `bytes` are gained (or freed, when negative) when the task starts or ends.
struct StepMemory {
  std::int32_t task = 0;
  bool at_end = false;
  std::int32_t label = 0;  ///< index into labels
  std::int64_t bytes = 0;
};

/// All ids are indices: those of the file, in the file's order.
struct StepFile {
  std::vector<std::pair<std::string, std::string>> keys;  ///< in the file's order
  std::string plan;                                       ///< JSON on one line; may be empty
  World world;
  std::vector<StepStage> stages;
  std::vector<StepLane> lanes;
  std::vector<StaticMemory> static_memory;
  std::vector<StepWork> works;
  std::vector<std::string> labels;
  std::vector<StepTask> tasks;
  std::vector<std::int32_t> dependencies;  ///< tasks
  std::vector<StepMemory> memory;

  /// The value of `name`; empty when the file has none.
  [[nodiscard]] std::string_view key(std::string_view name) const;
};

/// Throws SpecError "file:line: expected ...; got ...", also for a file without its last line, and MachineError for one
/// that cannot be read.
StepFile read_step_file(const std::string& path);
/// The same from a stream; `name` stands in messages.
StepFile read_step(std::istream& in, const std::string& name);

/// "gemm 8192x4096x4096 bf16 tn", "attention 1x8192 32/8 d128 causal backward bf16", "rms_norm 8192x4096 bf16",
/// "all_reduce 67108864 bytes tensor".
std::string work_text(const StepWork& work);

}  // namespace foretrain::gpu
