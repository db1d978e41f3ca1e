#include "validate/gpu/run/block_plan.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/spec_error.h"
#include "base/units.h"

namespace foretrain::gpu {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kMinBlock = 512;
constexpr std::int64_t kSmall = kMiB;             // up to here from small segments
constexpr std::int64_t kSmallSegment = 2 * kMiB;  // also the step of large ones
constexpr std::int64_t kLargeSegment = 20 * kMiB;
constexpr std::int64_t kMinLarge = 10 * kMiB;  // from here on a segment of its own size
constexpr std::int64_t kPiece = 64 * kMiB;

std::int64_t segment_bytes(std::int64_t bytes) {
  if (bytes <= kSmall) return kSmallSegment;
  if (bytes < kMinLarge) return kLargeSegment;
  return round_up(bytes, kSmallSegment);
}

}  // namespace

CachingAllocator::Block CachingAllocator::take(std::int64_t bytes) {
  const std::int64_t wanted = round_up(std::max<std::int64_t>(bytes, 1), kMinBlock);
  const bool small = wanted <= kSmall;
  auto best = free_.end();
  for (auto f = free_.begin(); f != free_.end(); ++f) {
    if (f->small != small || f->block.bytes < wanted) continue;
    if (best == free_.end() || f->block.bytes < best->block.bytes) best = f;
  }
  Block block;
  if (best == free_.end()) {
    segments_.push_back(segment_bytes(wanted));
    segment_is_small_.push_back(small ? 1 : 0);
    block = {static_cast<std::int32_t>(segments_.size()) - 1, 0, segments_.back()};
  } else {
    block = best->block;
    free_.erase(best);
  }
  const std::int64_t left = block.bytes - wanted;
  if (small ? left >= kMinBlock : left > kSmall) {
    free_.push_back({{block.segment, block.offset + wanted, left}, small});
    block.bytes = wanted;
  }
  taken_ += block.bytes;
  most_taken_ = std::max(most_taken_, taken_);
  return block;
}

void CachingAllocator::give_back(const Block& block) {
  taken_ -= block.bytes;
  Block whole = block;
  for (auto f = free_.begin(); f != free_.end();) {  // joined with its neighbours
    const Block& other = f->block;
    const bool before = other.segment == whole.segment && other.offset + other.bytes == whole.offset;
    const bool behind = other.segment == whole.segment && whole.offset + whole.bytes == other.offset;
    if (!before && !behind) {
      ++f;
      continue;
    }
    whole = {whole.segment, std::min(whole.offset, other.offset), whole.bytes + other.bytes};
    f = free_.erase(f);
  }
  free_.push_back({whole, segment_is_small_[static_cast<std::size_t>(whole.segment)] != 0});
}

std::int64_t CachingAllocator::reserved() const {
  return std::accumulate(segments_.begin(), segments_.end(), std::int64_t{0});
}

bool comes_by_itself(std::string_view memory_label) {
  return memory_label == "communication" || memory_label == "cuda_context" || memory_label == "allocator";
}

BlockPlan plan_blocks(const StepFile& file, const Program& program) {
  BlockPlan plan;
  for (const StaticMemory& s : file.static_memory) {
    if (s.stage == program.stage && !comes_by_itself(s.label)) plan.static_bytes += s.bytes;
  }
  std::vector<std::vector<const StepMemory*>> effects(file.tasks.size());
  for (const StepMemory& m : file.memory) effects[static_cast<std::size_t>(m.task)].push_back(&m);

  CachingAllocator allocator;
  std::vector<std::vector<CachingAllocator::Block>> taken(file.labels.size());
  std::vector<std::int64_t> level(file.labels.size(), 0);
  std::int64_t sum = 0;
  const auto apply = [&](const StepMemory& m) {
    const auto label = static_cast<std::size_t>(m.label);
    std::vector<CachingAllocator::Block>& blocks = taken[label];
    level[label] += m.bytes;
    sum += m.bytes;
    plan.most_effects = std::max(plan.most_effects, sum);
    if (level[label] < 0) {
      throw SpecError("graph", "task " + std::to_string(m.task) + ": expected to free no more \"" + file.labels[label] +
                                   "\" than was taken; got " + std::to_string(-level[label]) + " bytes more");
    }
    for (std::int64_t left = m.bytes; left > 0; left -= kPiece)
      blocks.push_back(allocator.take(std::min(left, kPiece)));
    // Newest first; a last block that is larger than what is left to free stays.
    std::int64_t held = 0;
    for (const CachingAllocator::Block& b : blocks) held += b.bytes;
    while (m.bytes < 0 && !blocks.empty() && held - blocks.back().bytes >= level[label]) {
      held -= blocks.back().bytes;
      allocator.give_back(blocks.back());
      blocks.pop_back();
    }
  };
  for (const Issue& issue : program.order) {
    for (const bool at_end : {false, true}) {
      for (const StepMemory* m : effects[static_cast<std::size_t>(issue.task)]) {
        if (m->at_end == at_end) apply(*m);
      }
    }
  }
  plan.segments = allocator.segments();
  plan.most_taken = allocator.most_taken();
  return plan;
}

}  // namespace foretrain::gpu
