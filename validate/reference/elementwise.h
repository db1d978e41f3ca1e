/// The plain passes over tensors: sum, multiple, transpose, cast, column sums.
#pragma once

#include "validate/reference/number_format.h"
#include "validate/reference/values.h"

namespace foretrain::reference {

Values add(View a, View b);
Values scale(View x, double factor);
/// [cols, rows] of x [rows, cols].
Values transpose(std::int64_t rows, std::int64_t cols, View x);
/// Each element times `factor`, rounded to `format`.
Values cast(View x, const NumberFormat& format, double factor = 1);
/// [cols] of x [rows, cols]: gradients of biases.
Values column_sums(std::int64_t cols, View x);

}  // namespace foretrain::reference
