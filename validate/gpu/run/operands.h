/// Where the operands of a work lie: regions of GPU memory through which successive works walk, so that each finds its
/// operands where nothing was a moment ago, as in a training step.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// What works read stays as it was filled, so that every repetition multiplies the same kind of numbers; what they
/// write is never multiplied.
enum class Region : std::uint8_t {
  numbers_fp32,  ///< random normal, read only: one region for each Storage, in its order
  numbers_fp16,
  numbers_bf16,
  numbers_e4m3,
  results,  ///< written
  state,    ///< fp32, read and written: gradients, master weights, first moments
  squares,  ///< fp32, never negative: second moments
  tokens,   ///< int64 ids
  scratch   ///< statistics of rows, workspaces
};
inline constexpr std::size_t kRegions = 9;

/// Bytes by region.
struct Needs {
  std::array<std::int64_t, kRegions> bytes{};
  std::int64_t& operator[](Region r) { return bytes[static_cast<std::size_t>(r)]; }
  std::int64_t operator[](Region r) const { return bytes[static_cast<std::size_t>(r)]; }
  /// The larger of both, region by region.
  void cover(const Needs& other);
  [[nodiscard]] std::int64_t total() const;
};

/// A place that was handed out.
struct OperandPlace {
  Region region = Region::results;
  void* at = nullptr;
  std::int64_t bytes = 0;
};

/// Hands out places. Without memory it only counts: that is how needs are found without a GPU.
class Operands {
 public:
  Operands() = default;
  /// `base` [region], each with `size` bytes, aligned to 256.
  Operands(const std::array<void*, kRegions>& base, const Needs& size) : base_(base), size_(size) {}

  /// Starts a work: regions whose rest is too small for it begin anew.
  void begin(const Needs& work);

  const void* read(Storage storage, std::int64_t count);
  void* write(std::int64_t bytes) { return take(Region::results, bytes); }
  float* state(std::int64_t count) { return static_cast<float*>(take(Region::state, 4 * count)); }
  float* squares(std::int64_t count) { return static_cast<float*>(take(Region::squares, 4 * count)); }
  const std::int64_t* tokens(std::int64_t count) {
    return static_cast<const std::int64_t*>(take(Region::tokens, 8 * count));
  }
  void* scratch(std::int64_t bytes) { return take(Region::scratch, bytes); }

  /// From now on, notes every place in `places`.
  void record(std::vector<OperandPlace>& places) { places_ = &places; }

  /// Bytes handed out so far.
  [[nodiscard]] const Needs& taken() const { return taken_; }

 private:
  void* take(Region region, std::int64_t bytes);

  std::array<void*, kRegions> base_{};
  Needs size_, place_, taken_;
  std::vector<OperandPlace>* places_ = nullptr;
};

}  // namespace foretrain::gpu
