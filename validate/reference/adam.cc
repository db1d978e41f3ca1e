#include "validate/reference/adam.h"

#include <cmath>

#include "base/check.h"

namespace foretrain::reference {

AdamState adam(const AdamStep& step, const AdamState& state, View gradient) {
  const std::size_t count = gradient.size();
  FORETRAIN_CHECK(step.step >= 1 && state.weight.size() == count);
  FORETRAIN_CHECK(state.first_moment.size() == count && state.second_moment.size() == count);
  const double correction_1 = 1 - std::pow(step.beta_1, static_cast<double>(step.step));
  const double correction_2 = 1 - std::pow(step.beta_2, static_cast<double>(step.step));
  AdamState next = state;
  for (std::size_t i = 0; i < count; ++i) {
    const double g = gradient[i] * step.gradient_scale;
    double& m = next.first_moment[i];
    double& v = next.second_moment[i];
    m = step.beta_1 * m + (1 - step.beta_1) * g;
    v = step.beta_2 * v + (1 - step.beta_2) * g * g;
    const double direction = m / correction_1 / (std::sqrt(v / correction_2) + step.epsilon);
    next.weight[i] -= step.learning_rate * (direction + step.weight_decay * state.weight[i]);
  }
  return next;
}

double sum_of_squares(View gradient) {
  double sum = 0;
  for (const double g : gradient) sum += g * g;
  return sum;
}

}  // namespace foretrain::reference
