#include "validate/parallel/vocabulary.h"

#include <cmath>
#include <vector>

#include "validate/parallel/linear.h"
#include "validate/parallel/tensor_region.h"

namespace foretrain::parallel {
namespace {

/// The token of the first row of this rank's piece of a table.
int first_id(const RankContext& rank, const Parameter& table) {
  return rank.mesh.tensor->rank() * static_cast<int>(table.value.rows());
}

}  // namespace

Tensor embed(const RankContext& rank, const Unit& words, std::span<const int> ids) {
  const Parameter& table = words["weight"];
  return leave_region(rank, rank.math.lookup(table.value, ids, first_id(rank, table)), "embedding");
}

void embed_backward(const RankContext& rank, const Unit& words, std::span<const int> ids, const Tensor& dy) {
  const Parameter& table = words["weight"];
  const Tensor dy_whole = leave_region_backward(rank, dy, "embedding");
  rank.math.lookup_backward(dy_whole, ids, first_id(rank, table), table.gradient);
}

double vocabulary_loss(const RankContext& rank, const Unit& table, const Tensor& x, std::span<const int> targets,
                       LossSaved& saved) {
  Math& math = rank.math;
  const Parameter& weight = table["weight"];
  saved.x = x;
  saved.logits = linear(math, enter_region(rank, x, "head"), weight, nullptr);
  saved.max = math.row_max(saved.logits);
  rank.mesh.tensor->all_reduce(saved.max.span(), Reduction::max, "softmax maxima");
  saved.sums = math.softmax_sums(saved.logits, saved.max, targets, first_id(rank, weight));
  rank.mesh.tensor->all_reduce(saved.sums.span(), Reduction::sum, "softmax sums");
  const std::vector<float> sums = math.download(saved.sums);
  double loss = 0;
  for (std::size_t i = 0; i < sums.size(); i += 2) loss += std::log(double{sums[i]}) - double{sums[i + 1]};
  return loss;
}

Tensor vocabulary_loss_backward(const RankContext& rank, const Unit& table, std::span<const int> targets, float factor,
                                const LossSaved& saved) {
  Math& math = rank.math;
  const Parameter& weight = table["weight"];
  const Tensor dlogits =
      math.cross_entropy_backward(saved.logits, saved.max, saved.sums, targets, first_id(rank, weight), factor);
  const Tensor whole = enter_region_again(rank, saved.x, "head");
  const Tensor dx_share = math.zeros(whole.rows(), whole.columns());
  linear_backward(math, whole, weight, nullptr, dlogits, dx_share);
  return enter_region_backward(rank, dx_share, "head");
}

}  // namespace foretrain::parallel
