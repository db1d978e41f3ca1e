/// Where a step's memory lies: a caching allocator run ahead of time, so that the step itself allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "validate/gpu/run/program.h"

namespace foretrain::gpu {

/// What PyTorch's caching allocator would have done: blocks come from segments, which stay.
/// Source: pytorch c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kSmallSize, kSmallBuffer, kLargeBuffer,
/// kMinLargeAlloc, kRoundLarge; best fit, split where more than kSmallSize is left over.
class CachingAllocator {
 public:
  struct Block {
    std::int32_t segment = 0;
    std::int64_t offset = 0, bytes = 0;
  };

  Block take(std::int64_t bytes);
  void give_back(const Block& block);

  [[nodiscard]] const std::vector<std::int64_t>& segments() const { return segments_; }  ///< their bytes
  [[nodiscard]] std::int64_t reserved() const;
  [[nodiscard]] std::int64_t taken() const { return taken_; }
  [[nodiscard]] std::int64_t most_taken() const { return most_taken_; }

 private:
  struct Free {
    Block block;
    bool small = false;
  };
  std::vector<std::int64_t> segments_;
  std::vector<char> segment_is_small_;
  std::vector<Free> free_;
  std::int64_t taken_ = 0, most_taken_ = 0;
};

/// Memory of one rank's step.
struct BlockPlan {
  std::int64_t static_bytes = 0;       ///< parameters, gradients, optimizer states
  std::vector<std::int64_t> segments;  ///< of the allocator, for what comes and goes
  std::int64_t most_taken = 0;         ///< bytes in use at the same time, without the static ones
  std::int64_t most_effects = 0;       ///< the same as the graph's effects add up, without rounding
};

/// Labels of static memory that a run has by itself and that are not allocated for it.
bool comes_by_itself(std::string_view memory_label);

/// Walks the effects in issue order. What is freed was taken under the same label; pieces are at most 64 MiB (assumed:
/// the size of one activation tensor of a large model), so that a pass's memory is many tensors and not one. Throws
/// SpecError where more is freed than was taken.
BlockPlan plan_blocks(const StepFile& file, const Program& program);

}  // namespace foretrain::gpu
