/// Dropout whose mask follows from element number and random stream alone, so that any split of a tensor can repeat it.
#pragma once

#include "validate/reference/philox.h"
#include "validate/reference/values.h"

namespace foretrain::reference {

/// Needs 0 <= probability < 1.
struct Dropout {
  double probability = 0;
  RandomStream stream;
  std::int64_t first_element = 0;  ///< number within the stream of a tensor's first element
};

/// Whether element `index` of the stream is kept.
bool kept(const Dropout& dropout, std::int64_t index);

/// x / (1 - probability) where kept, else 0. The backward pass is the same on dy.
Values drop(const Dropout& dropout, View x);

/// residual + drop(x + bias): x and residual [rows, cols]; bias [cols], or empty for none.
/// Backward: dresidual = dy, dx = drop(dy), dbias = column_sums(dx).
Values bias_dropout_add(const Dropout& dropout, View x, View bias, View residual);

}  // namespace foretrain::reference
