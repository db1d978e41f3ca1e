#include "validate/parallel/tensor_region.h"

namespace foretrain::parallel {
namespace {

Tensor gather(const RankContext& rank, const Tensor& x, const std::string& what) {
  Tensor whole = rank.math.zeros(x.rows() * rank.mesh.tensor->size(), x.columns());
  rank.mesh.tensor->all_gather(x.span(), whole.span(), what);
  return whole;
}

Tensor sum(const RankContext& rank, const Tensor& share, const std::string& what) {
  if (rank.plan.sequence_parallel) {
    Tensor own = rank.math.zeros(share.rows() / rank.mesh.tensor->size(), share.columns());
    rank.mesh.tensor->reduce_scatter(share.span(), own.span(), Reduction::sum, what);
    return own;
  }
  rank.mesh.tensor->all_reduce(share.span(), Reduction::sum, what);
  return share;
}

}  // namespace

Tensor enter_region(const RankContext& rank, const Tensor& x, const std::string& what) {
  return rank.plan.sequence_parallel ? gather(rank, x, what + " input") : x;
}

Tensor enter_region_again(const RankContext& rank, const Tensor& x, const std::string& what) {
  return rank.plan.sequence_parallel ? gather(rank, x, what + " input again") : x;
}

Tensor enter_region_backward(const RankContext& rank, const Tensor& dx_share, const std::string& what) {
  return sum(rank, dx_share, what + " input gradient");
}

Tensor leave_region(const RankContext& rank, const Tensor& y_share, const std::string& what) {
  return sum(rank, y_share, what + " output");
}

Tensor leave_region_backward(const RankContext& rank, const Tensor& dy, const std::string& what) {
  return rank.plan.sequence_parallel ? gather(rank, dy, what + " output gradient") : dy;
}

}  // namespace foretrain::parallel
