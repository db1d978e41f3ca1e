/// Token embedding, whole or one rank's share of the vocabulary, forward and backward.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// The table holds the rows first_token .. first_token + vocabulary - 1 of the whole, [vocabulary, hidden].
struct EmbeddingShape {
  std::int64_t vocabulary = 1, hidden = 1;
  std::int64_t first_token = 0;
};

/// [tokens, hidden]: the row of each token; zeros where another rank holds it, so that the ranks' sum is the whole.
Values embed(const EmbeddingShape& shape, Indices tokens, View table);
/// The gradient of the table [vocabulary, hidden]: each dy row added to its token's row.
Values embed_backward(const EmbeddingShape& shape, Indices tokens, View dy);

}  // namespace foretrain::reference
