/// The way into and out of a tensor-parallel region, where Megatron-LM communicates: nowhere else within a layer.
#pragma once

#include <string>

#include "validate/parallel/rank_context.h"

namespace foretrain::parallel {

/// What the column-parallel layers at the region's start read, [whole_rows, n] from [own_rows, n]: x itself, or
/// gathered over the tensor ranks with sequence parallelism. `backward` takes a rank's share of dx: it is summed over
/// the tensor ranks once for all layers that read x, by all-reduce or, with sequence parallelism, reduce-scatter.
/// Source: f of arXiv 1909.08053 figure 3; g of arXiv 2205.05198 figure 5.
Tensor enter_region(const RankContext& rank, const Tensor& x, const std::string& what);
/// The same for the backward pass, which needs x once more for the weights' gradients.
Tensor enter_region_again(const RankContext& rank, const Tensor& x, const std::string& what);
Tensor enter_region_backward(const RankContext& rank, const Tensor& dx_share, const std::string& what);

/// What follows the row-parallel layer at the region's end: the sum over the tensor ranks of y's shares, by all-reduce
/// or, with sequence parallelism, reduce-scatter. `backward` gives each rank the whole dy.
/// Source: g of arXiv 1909.08053 figure 3; g-bar of arXiv 2205.05198 figure 5.
Tensor leave_region(const RankContext& rank, const Tensor& y_share, const std::string& what);
Tensor leave_region_backward(const RankContext& rank, const Tensor& dy, const std::string& what);

}  // namespace foretrain::parallel
