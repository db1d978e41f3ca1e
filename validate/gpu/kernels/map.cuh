/// The engine of the element-wise kernels: each thread moves several pieces of 16 bytes a stream, loads before stores.
///
/// A function object says what one piece is:
///     struct F {
///       static constexpr int kWidth;   // elements of a piece
///       static constexpr int kUnroll;  // pieces a thread has in flight
///       static constexpr bool kRows;   // whether it wants a piece's row and column
///       template <int kCount> struct Loaded;
///       template <int kCount> __device__ void load(Piece, Loaded<kCount>&) const;
///       template <int kCount> __device__ void store(Piece, const Loaded<kCount>&) const;
///     };
/// kCount is kWidth, or 1 at the ragged end and in misaligned tensors.
#pragma once

#include "validate/gpu/kernels/numbers.cuh"

namespace foretrain::gpu {

inline constexpr int kMapThreads = 256;

struct Piece {
  std::int64_t index = 0;   ///< of its first element
  std::int64_t row = 0;     ///< index / cols
  std::int32_t column = 0;  ///< index % cols
};

/// The piece at first + offset. One 64-bit division a block (in `first`), one of 32 bits a piece.
template <class Function>
__device__ Piece piece_at(const Piece& first, std::uint32_t offset, std::uint32_t cols) {
  Piece piece;
  piece.index = first.index + offset;
  if constexpr (Function::kRows) {
    const std::uint32_t column = static_cast<std::uint32_t>(first.column) + offset;
    const std::uint32_t rows = column / cols;
    piece.row = first.row + rows;
    piece.column = static_cast<std::int32_t>(column - rows * cols);
  }
  return piece;
}

template <class Function>
__global__ void __launch_bounds__(kMapThreads)
    map_kernel(Function function, std::int64_t count, std::int64_t cols, bool whole_pieces) {
  constexpr int kWidth = Function::kWidth, kUnroll = Function::kUnroll;
  constexpr int kTile = kMapThreads * kWidth * kUnroll;
  Piece first;
  first.index = static_cast<std::int64_t>(blockIdx.x) * kTile;
  if constexpr (Function::kRows) {
    first.row = first.index / cols;
    first.column = static_cast<std::int32_t>(first.index - first.row * cols);
  }
  const auto narrow_cols = static_cast<std::uint32_t>(cols);
  if (whole_pieces && first.index + kTile <= count) {
    typename Function::template Loaded<kWidth> loaded[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::uint32_t offset = (u * kMapThreads + threadIdx.x) * kWidth;
      function.template load<kWidth>(piece_at<Function>(first, offset, narrow_cols), loaded[u]);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::uint32_t offset = (u * kMapThreads + threadIdx.x) * kWidth;
      function.template store<kWidth>(piece_at<Function>(first, offset, narrow_cols), loaded[u]);
    }
    return;
  }
  for (std::uint32_t offset = threadIdx.x; offset < kTile && first.index + offset < count; offset += kMapThreads) {
    typename Function::template Loaded<1> loaded;
    const Piece piece = piece_at<Function>(first, offset, narrow_cols);
    function.template load<1>(piece, loaded);
    function.template store<1>(piece, loaded);
  }
}

/// Runs `function` over `count` elements in rows of `cols`. `aligned` says that every stream is aligned to its pieces.
template <class Function>
cudaError_t launch_map(const Function& function, std::int64_t count, std::int64_t cols, bool aligned,
                       cudaStream_t stream) {
  constexpr std::int64_t kTile = std::int64_t{kMapThreads} * Function::kWidth * Function::kUnroll;
  if (count < 0 || cols < 1 || cols > (std::int64_t{1} << 30)) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
  const std::int64_t blocks = (count + kTile - 1) / kTile;
  if (blocks > 0x7fffffff) return cudaErrorInvalidValue;
  const bool whole_pieces = aligned && (!Function::kRows || cols % Function::kWidth == 0);
  return launch(map_kernel<Function>, {dim3(static_cast<unsigned>(blocks)), dim3(kMapThreads)}, stream, function, count,
                cols, whole_pieces);
}

}  // namespace foretrain::gpu
