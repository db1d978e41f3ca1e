/// Cross-entropy of logits against one target a row, whole or over a vocabulary shared between ranks.
///
/// Each rank reduces its logits to statistics; the ranks' statistics merge (a maximum and two sums, so three
/// all-reduces of one number a token); from the merged ones follow the loss and every rank's own gradient. Source:
/// Shoeybi et al. 2019, "Megatron-LM", section 3.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// logits [rows, vocabulary] of the tokens first_token .. first_token + vocabulary - 1.
struct CrossEntropyShape {
  std::int64_t rows = 1, vocabulary = 1;
  std::int64_t first_token = 0;
};

/// Each [rows].
struct CrossEntropyStatistics {
  Values largest;       ///< max over this rank's logits
  Values sum_exp;       ///< sum of exp(logit - largest)
  Values target_logit;  ///< of the target, 0 where another rank holds it
};

CrossEntropyStatistics cross_entropy_statistics(const CrossEntropyShape& shape, View logits, Indices targets);

/// The statistics of the union of two parts of the vocabulary.
CrossEntropyStatistics merge(const CrossEntropyStatistics& a, const CrossEntropyStatistics& b);

/// [rows]: log(sum_exp) + largest - target_logit, from the merged statistics.
Values cross_entropy_loss(const CrossEntropyStatistics& whole);

/// This rank's [rows, vocabulary] of (softmax - one at the target) dloss[row], from the merged statistics.
Values cross_entropy_backward(const CrossEntropyShape& shape, View logits, Indices targets,
                              const CrossEntropyStatistics& whole, View dloss);

}  // namespace foretrain::reference
