#include "validate/parallel/norm.h"

namespace foretrain::parallel {
namespace {

NormKind kind_of(const RankContext& rank) {
  return rank.model.family == Family::llama ? NormKind::rms : NormKind::layer;
}

}  // namespace

Tensor norm(const RankContext& rank, const Unit& unit, const std::string& prefix, const Tensor& x) {
  const Parameter* const bias = unit.find(prefix + "bias");
  return rank.math.norm(kind_of(rank), x, unit[prefix + "weight"].value, bias != nullptr ? bias->value : Tensor());
}

Tensor norm_backward(const RankContext& rank, const Unit& unit, const std::string& prefix, const Tensor& x,
                     const Tensor& dy) {
  const Parameter& weight = unit[prefix + "weight"];
  const Parameter* const bias = unit.find(prefix + "bias");
  return rank.math.norm_backward(kind_of(rank), x, weight.value, dy, weight.gradient,
                                 bias != nullptr ? bias->gradient : Tensor());
}

}  // namespace foretrain::parallel
