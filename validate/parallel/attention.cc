#include "validate/parallel/attention.h"

#include "validate/parallel/linear.h"
#include "validate/parallel/tensor_region.h"

namespace foretrain::parallel {
namespace {

void rotate(const RankContext& rank, Rotation rotation, const Tensor& x) {
  if (rank.model.family != Family::llama) return;
  rank.math.rotate(rotation, rank.plan.micro_batch, rank.model.head_dim, rank.own_positions(), x);
}

}  // namespace

Tensor attention_forward(const RankContext& rank, const Unit& layer, const Tensor& x, AttentionSaved& saved) {
  Math& math = rank.math;
  saved.x = x;
  const Tensor whole = enter_region(rank, x, "attention");
  saved.inner.q = linear(math, whole, layer["query weight"], layer.find("query bias"));
  saved.inner.k = linear(math, whole, layer["key weight"], layer.find("key bias"));
  saved.inner.v = linear(math, whole, layer["value weight"], layer.find("value bias"));
  rotate(rank, Rotation::forward, saved.inner.q);
  rotate(rank, Rotation::forward, saved.inner.k);
  saved.inner.draw = rank.streams.draw(Region::split);
  saved.out = context_attention(rank, saved.inner);
  const Tensor share = linear(math, saved.out, layer["output weight"], nullptr);
  Tensor y = leave_region(rank, share, "attention");
  if (const Parameter* const bias = layer.find("output bias")) math.add_row(bias->value, y);
  return y;
}

Tensor attention_backward(const RankContext& rank, const Unit& layer, const Tensor& dy, const AttentionSaved& saved) {
  Math& math = rank.math;
  if (const Parameter* const bias = layer.find("output bias")) math.sum_rows(dy, bias->gradient);
  const Tensor dy_whole = leave_region_backward(rank, dy, "attention");
  const Tensor dout = math.zeros(saved.out.rows(), saved.out.columns());
  linear_backward(math, saved.out, layer["output weight"], nullptr, dy_whole, dout);

  const AttentionGradients gradients = context_attention_backward(rank, saved.inner, dout);
  rotate(rank, Rotation::inverse, gradients.dq);
  rotate(rank, Rotation::inverse, gradients.dk);

  const Tensor whole = enter_region_again(rank, saved.x, "attention");
  const Tensor dx_share = math.zeros(whole.rows(), whole.columns());
  linear_backward(math, whole, layer["query weight"], layer.find("query bias"), gradients.dq, dx_share);
  linear_backward(math, whole, layer["key weight"], layer.find("key bias"), gradients.dk, dx_share);
  linear_backward(math, whole, layer["value weight"], layer.find("value bias"), gradients.dv, dx_share);
  return enter_region_backward(rank, dx_share, "attention");
}

}  // namespace foretrain::parallel
