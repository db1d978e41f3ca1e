/// The non-linear functions of an MLP, forward and backward, with and without gate or bias.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

/// gelu is the tanh form that trainers fuse: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
/// Source: Hendrycks and Gimpel 2016, "Gaussian error linear units", section 2. silu is x / (1 + exp(-x)).
enum class Activation { relu, gelu, silu };

double activate(Activation activation, double x);
/// d activate / dx; relu's at 0 is 0.
double activation_slope(Activation activation, double x);

/// act(x + bias): x [rows, cols]; bias [cols], or empty for none.
Values activate(Activation activation, View x, View bias = {});
/// dx [rows, cols] = dy act'(x + bias). The gradient of the bias is column_sums(dx).
Values activate_backward(Activation activation, View x, View dy, View bias = {});

/// act(gate) up [rows, cols] for gate_up [rows, 2 cols]: each row holds the gates, then the ups. silu: SwiGLU; gelu:
/// GeGLU. Source: Shazeer 2020, "GLU variants improve transformer", equation 6.
Values gated(Activation activation, std::int64_t cols, View gate_up);
/// The gradient of gate_up [rows, 2 cols] for dy [rows, cols].
Values gated_backward(Activation activation, std::int64_t cols, View gate_up, View dy);

}  // namespace foretrain::reference
