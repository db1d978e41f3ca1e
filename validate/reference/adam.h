/// AdamW on fp32 master weights, and the gradient norm that clipping needs.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// Source: Kingma and Ba 2015, "Adam", algorithm 1; decay apart from the gradient: Loshchilov and Hutter 2019,
/// algorithm 2.
struct AdamStep {
  double learning_rate = 1e-3, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  std::int64_t step = 1;      ///< counted from 1; corrects the bias of the moments
  double gradient_scale = 1;  ///< multiplies the gradient first: clipping, loss scaling
};

struct AdamState {
  Values weight, first_moment, second_moment;
};

/// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// w -= learning_rate (m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + epsilon) + weight_decay w).
AdamState adam(const AdamStep& step, const AdamState& state, View gradient);

/// Sum of squares: its root over all ranks is the gradient norm.
double sum_of_squares(View gradient);

}  // namespace foretrain::reference
