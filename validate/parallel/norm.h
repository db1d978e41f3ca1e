/// LayerNorm or RMSNorm as the model's family has it, over a rank's own rows.
#pragma once

#include <string>

#include "validate/parallel/rank_context.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

/// With parameters "`prefix`weight" and, where the unit has it, "`prefix`bias". [own_rows, hidden]
Tensor norm(const RankContext& rank, const Unit& unit, const std::string& prefix, const Tensor& x);
/// Gives dx and adds to the unit's gradients: with sequence parallelism, what this rank's tokens contribute.
Tensor norm_backward(const RankContext& rank, const Unit& unit, const std::string& prefix, const Tensor& x,
                     const Tensor& dy);

}  // namespace foretrain::parallel
