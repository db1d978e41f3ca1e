/// Tensors of the CPU references: contiguous, row-major, in double.
///
/// The references are simple loops that state what a kernel computes. They take values and give values, all sums in
/// double, so that a kernel's error against them is the kernel's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace foretrain::reference {

using Values = std::vector<double>;
using View = std::span<const double>;
using Indices = std::span<const std::int64_t>;

constexpr std::size_t size_of(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace foretrain::reference
