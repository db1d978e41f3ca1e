#include "validate/reference/embedding.h"

#include "base/check.h"

namespace foretrain::reference {
namespace {

bool holds(const EmbeddingShape& shape, std::int64_t token) {
  return token >= shape.first_token && token < shape.first_token + shape.vocabulary;
}

}  // namespace

Values embed(const EmbeddingShape& shape, Indices tokens, View table) {
  const std::size_t hidden = size_of(shape.hidden);
  FORETRAIN_CHECK(table.size() == size_of(shape.vocabulary) * hidden);
  Values out(tokens.size() * hidden);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (!holds(shape, tokens[t])) continue;
    const std::size_t row = size_of(tokens[t] - shape.first_token);
    for (std::size_t c = 0; c < hidden; ++c) out[t * hidden + c] = table[row * hidden + c];
  }
  return out;
}

Values embed_backward(const EmbeddingShape& shape, Indices tokens, View dy) {
  const std::size_t hidden = size_of(shape.hidden);
  FORETRAIN_CHECK(dy.size() == tokens.size() * hidden);
  Values gradient(size_of(shape.vocabulary) * hidden);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (!holds(shape, tokens[t])) continue;
    const std::size_t row = size_of(tokens[t] - shape.first_token);
    for (std::size_t c = 0; c < hidden; ++c) gradient[row * hidden + c] += dy[t * hidden + c];
  }
  return gradient;
}

}  // namespace foretrain::reference
