#include "validate/reference/gemm.h"

#include "base/check.h"

namespace foretrain::reference {

Values gemm(const GemmShape& shape, View a, View b, View added) {
  const auto [pass, batch, m, n, k] = shape;
  FORETRAIN_CHECK(a.size() == size_of(batch * m * k) && b.size() == size_of(batch * k * n));
  FORETRAIN_CHECK(added.empty() || added.size() == size_of(batch * m * n));
  Values c(added.begin(), added.end());
  c.resize(size_of(batch * m * n));
  for (std::int64_t i = 0; i < batch * m; ++i) {
    const std::int64_t first_a = i / m * m * k, first_b = i / m * k * n, row = i % m;
    for (std::int64_t column = 0; column < n; ++column) {
      double sum = 0;
      for (std::int64_t j = 0; j < k; ++j) {
        const std::int64_t at_a = pass == LinearPass::weight_gradient ? j * m + row : row * k + j;
        const std::int64_t at_b = pass == LinearPass::forward ? column * k + j : j * n + column;
        sum += a[size_of(first_a + at_a)] * b[size_of(first_b + at_b)];
      }
      c[size_of(i * n + column)] += sum;
    }
  }
  return c;
}

}  // namespace foretrain::reference
