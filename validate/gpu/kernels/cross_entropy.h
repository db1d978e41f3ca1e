/// Launchers of cross-entropy over a vocabulary that ranks may share.
///
/// On each rank: statistics; all-reduce `largest` (max); rescale; all-reduce `sum_exp` and `target_logit` (sum); loss
/// and backward. One rank alone needs neither the all-reduces nor rescale. validate/reference/cross_entropy.h has the
/// formulae.
#pragma once

#include "validate/gpu/kernels/storage.h"

namespace foretrain::gpu {

/// One pass over logits [rows, vocabulary], tokens first_token .. first_token + vocabulary - 1. Each output [rows].
struct CrossEntropyStatistics {
  const void* logits = nullptr;
  const std::int64_t* targets = nullptr;
  float* largest = nullptr;
  float* sum_exp = nullptr;       ///< of exp(logit - largest)
  float* target_logit = nullptr;  ///< 0 where another rank holds the target
  std::int64_t rows = 0, vocabulary = 0, first_token = 0;
  Storage storage = Storage::bf16;
};
cudaError_t cross_entropy_statistics(const CrossEntropyStatistics& arguments, cudaStream_t stream);

/// sum_exp *= exp(largest - largest_of_all).
struct CrossEntropyRescale {
  const float* largest = nullptr;
  const float* largest_of_all = nullptr;
  float* sum_exp = nullptr;
  std::int64_t rows = 0;
};
cudaError_t cross_entropy_rescale(const CrossEntropyRescale& arguments, cudaStream_t stream);

/// loss [rows] = log(sum_exp) + largest - target_logit.
struct CrossEntropyLoss {
  const float* largest = nullptr;
  const float* sum_exp = nullptr;
  const float* target_logit = nullptr;
  float* loss = nullptr;
  std::int64_t rows = 0;
};
cudaError_t cross_entropy_loss(const CrossEntropyLoss& arguments, cudaStream_t stream);

/// dlogits [rows, vocabulary] = (exp(logit - largest) / sum_exp - one at the target) dloss[row]. May replace the
/// logits.
struct CrossEntropyBackward {
  const void* logits = nullptr;
  const std::int64_t* targets = nullptr;
  const float* largest = nullptr;
  const float* sum_exp = nullptr;
  const float* dloss = nullptr;  ///< [rows], or none for 1 / rows
  void* dlogits = nullptr;
  std::int64_t rows = 0, vocabulary = 0, first_token = 0;
  Storage storage = Storage::bf16;
};
cudaError_t cross_entropy_backward(const CrossEntropyBackward& arguments, cudaStream_t stream);

}  // namespace foretrain::gpu
