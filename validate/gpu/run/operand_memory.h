/// GPU memory for operands: the regions that works walk through, filled with what a training run holds.
#pragma once

#include <cstdint>
#include <vector>

#include "validate/gpu/run/cuda_objects.h"
#include "validate/gpu/run/operands.h"

namespace foretrain::gpu {

/// The regions of operands on the device, filled.
class OperandMemory {
 public:
  OperandMemory() = default;
  /// Token ids are below `vocabulary`. Throws OutOfDeviceMemory.
  OperandMemory(const Needs& sizes, std::int64_t vocabulary);
  [[nodiscard]] Operands& operands() { return operands_; }
  [[nodiscard]] const Needs& sizes() const { return sizes_; }
  /// Whether slices of the region hold neither NaN nor infinity, read as fp32, bf16 or fp16.
  [[nodiscard]] bool is_finite(Region region, Storage storage) const;

 private:
  Needs sizes_;
  std::vector<DeviceMemory> regions_;
  Operands operands_;
};

}  // namespace foretrain::gpu
