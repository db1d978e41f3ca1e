/// Launchers of the token embedding, whole or one rank's share of the vocabulary.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// out [tokens, hidden]: the table row of each token; zeros for tokens outside first_token .. first_token + vocabulary
/// - 1.
struct Embedding {
  const std::int64_t* tokens = nullptr;
  const void* table = nullptr;  ///< [vocabulary, hidden]
  void* out = nullptr;
  std::int64_t count = 0, vocabulary = 0, hidden = 0, first_token = 0;
  Storage storage = Storage::bf16;
};
cudaError_t embedding_forward(const Embedding& arguments, cudaStream_t stream);

/// Adds each dy row to its token's row of the fp32 gradient. Rows of one token meet in any order, so that the last bits
/// of their sum differ from run to run.
struct EmbeddingBackward {
  const std::int64_t* tokens = nullptr;
  const void* dy = nullptr;   ///< [tokens, hidden]
  float* gradient = nullptr;  ///< [vocabulary, hidden]
  std::int64_t count = 0, vocabulary = 0, hidden = 0, first_token = 0;
  Storage storage = Storage::bf16;
};
cudaError_t embedding_backward(const EmbeddingBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
