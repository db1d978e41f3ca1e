/// A matrix of floats in the memory of a Math: the host's or a device's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/check.h"

namespace foretrain::parallel {

/// A handle, rows by columns, row-major: copies and views share the floats. Only a Math and a Communicator may touch
/// what `span` names, for it may lie on a device.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<float> memory, std::int64_t rows, std::int64_t columns)
      : memory_(std::move(memory)), rows_(rows), columns_(columns) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t size() const { return rows_ * columns_; }
  float* data() const { return memory_.get(); }
  std::span<float> span() const { return {memory_.get(), static_cast<std::size_t>(size())}; }

  /// `rows` x `columns` floats of this tensor's memory, from float number `offset`.
  Tensor view(std::int64_t offset, std::int64_t rows, std::int64_t columns) const {
    FORETRAIN_CHECK(offset >= 0 && offset + rows * columns <= size());
    return {std::shared_ptr<float>(memory_, memory_.get() + offset), rows, columns};
  }

 private:
  std::shared_ptr<float> memory_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
};

}  // namespace foretrain::parallel
