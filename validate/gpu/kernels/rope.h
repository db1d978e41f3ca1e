/// Launchers of rotary position embedding: the table of angles, and the rotation.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// table [positions, head_dim / 2, 2] fp32: cosine and sine of position base^(-2 i / head_dim).
struct RopeTable {
  float* table = nullptr;
  std::int64_t positions = 0, head_dim = 0;
  double base = 10000;
};
cudaError_t rope_table(const RopeTable& arguments, cudaStream_t stream);

/// y = x turned by its position, element i of a head with element i + head_dim / 2; backward turns back. x and y
/// [tokens, heads, head_dim], the heads of a token together, tokens `token_stride` elements apart. Token t stands at
/// position (t / tokens_per_position) % positions: 1 for [batch, sequence, ...], the batch for [sequence, batch, ...].
struct Rope {
  const void* x = nullptr;
  void* y = nullptr;
  const float* table = nullptr;
  std::int64_t tokens = 0, heads = 0, head_dim = 0, positions = 0;
  std::int64_t tokens_per_position = 1;
  std::int64_t token_stride = 0;  ///< 0: heads * head_dim
  bool backward = false;
  Storage storage = Storage::bf16;
};
cudaError_t rope(const Rope& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
