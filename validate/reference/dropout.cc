#include "validate/reference/dropout.h"

#include "base/check.h"

namespace foretrain::reference {

bool kept(const Dropout& dropout, std::int64_t index) {
  const auto i = static_cast<std::uint64_t>(index);
  return random_quad(dropout.stream, i / 4).word[i % 4] >= drop_threshold(dropout.probability);
}

Values drop(const Dropout& dropout, View x) {
  FORETRAIN_CHECK(dropout.probability >= 0 && dropout.probability < 1);
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (kept(dropout, dropout.first_element + static_cast<std::int64_t>(i))) y[i] = x[i] / (1 - dropout.probability);
  }
  return y;
}

Values bias_dropout_add(const Dropout& dropout, View x, View bias, View residual) {
  FORETRAIN_CHECK(x.size() == residual.size());
  Values y(x.begin(), x.end());
  for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i) y[i] += bias[i % bias.size()];
  y = drop(dropout, y);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += residual[i];
  return y;
}

}  // namespace foretrain::reference
