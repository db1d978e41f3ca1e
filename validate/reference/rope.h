/// Rotary position embedding, forward and backward.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// x [tokens, heads, head_dim]; element i of a head is turned with element i + head_dim / 2 (the halves of GPT-NeoX and
/// Llama in Hugging Face's and Megatron's order). Source: Su et al. 2021, "RoFormer", equation 34.
struct RopeShape {
  std::int64_t tokens = 1, heads = 1, head_dim = 2;
  double base = 10000;
};

/// Angle of pair i at `position`: position base^(-2 i / head_dim).
double rope_angle(const RopeShape& shape, std::int64_t position, std::int64_t pair);

/// (a, b) becomes (a cos - b sin, b cos + a sin). positions [tokens].
Values rope(const RopeShape& shape, Indices positions, View x);
/// The gradient: the rotation back.
Values rope_backward(const RopeShape& shape, Indices positions, View dy);

}  // namespace foretrain::reference
