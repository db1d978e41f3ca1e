#include "validate/reference/elementwise.h"

#include "base/check.h"

namespace foretrain::reference {

Values add(View a, View b) {
  FORETRAIN_CHECK(a.size() == b.size());
  Values sum(a.size());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = a[i] + b[i];
  return sum;
}

Values scale(View x, double factor) {
  Values y(x.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] * factor;
  return y;
}

Values transpose(std::int64_t rows, std::int64_t cols, View x) {
  FORETRAIN_CHECK(x.size() == size_of(rows * cols));
  Values y(x.size());
  for (std::size_t r = 0; r < size_of(rows); ++r) {
    for (std::size_t c = 0; c < size_of(cols); ++c) y[c * size_of(rows) + r] = x[r * size_of(cols) + c];
  }
  return y;
}

Values cast(View x, const NumberFormat& format, double factor) {
  Values y(x.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = rounded(x[i] * factor, format);
  return y;
}

Values column_sums(std::int64_t cols, View x) {
  FORETRAIN_CHECK(x.size() % size_of(cols) == 0);
  Values sums(size_of(cols));
  for (std::size_t i = 0; i < x.size(); ++i) sums[i % sums.size()] += x[i];
  return sums;
}

}  // namespace foretrain::reference
