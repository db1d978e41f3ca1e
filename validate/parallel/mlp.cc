#include "validate/parallel/mlp.h"

#include "validate/parallel/linear.h"
#include "validate/parallel/tensor_region.h"

namespace foretrain::parallel {
namespace {

Tensor activate(const RankContext& rank, const MlpSaved& saved) {
  return rank.model.family == Family::llama ? rank.math.swiglu(saved.gate, saved.up) : rank.math.gelu(saved.up);
}

}  // namespace

Tensor mlp_forward(const RankContext& rank, const Unit& layer, const Tensor& x, MlpSaved& saved) {
  Math& math = rank.math;
  saved.x = x;
  const Tensor whole = enter_region(rank, x, "mlp");
  if (rank.model.family == Family::llama) saved.gate = linear(math, whole, layer["gate weight"], nullptr);
  saved.up = linear(math, whole, layer["up weight"], layer.find("up bias"));
  const Tensor share = linear(math, activate(rank, saved), layer["down weight"], nullptr);
  Tensor y = leave_region(rank, share, "mlp");
  if (const Parameter* const bias = layer.find("down bias")) math.add_row(bias->value, y);
  return y;
}

Tensor mlp_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, const MlpSaved& saved) {
  Math& math = rank.math;
  if (const Parameter* const bias = layer.find("down bias")) math.sum_rows(dy, bias->gradient);
  const Tensor dy_whole = leave_region_backward(rank, dy, "mlp");
  const Tensor dactive = math.zeros(saved.up.rows(), saved.up.columns());
  linear_backward(math, activate(rank, saved), layer["down weight"], nullptr, dy_whole, dactive);

  const Tensor whole = enter_region_again(rank, saved.x, "mlp");  // gathered again: only a rank's own tokens were kept
  const Tensor dx_share = math.zeros(whole.rows(), whole.columns());
  if (rank.model.family == Family::llama) {
    const Tensor dgate = math.zeros(saved.gate.rows(), saved.gate.columns());
    const Tensor dup = math.zeros(saved.up.rows(), saved.up.columns());
    math.swiglu_backward(saved.gate, saved.up, dactive, dgate, dup);
    linear_backward(math, whole, layer["gate weight"], nullptr, dgate, dx_share);
    linear_backward(math, whole, layer["up weight"], nullptr, dup, dx_share);
  } else {
    const Tensor dup = math.gelu_backward(saved.up, dactive);
    linear_backward(math, whole, layer["up weight"], layer.find("up bias"), dup, dx_share);
  }
  return enter_region_backward(rank, dx_share, "mlp");
}

}  // namespace foretrain::parallel
