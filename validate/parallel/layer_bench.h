/// What a check of one layer needs on a rank: its place, one unit of weights, and its rows of matrices over all tokens.
#pragma once

#include "validate/parallel/check.h"
#include "validate/parallel/reference_model.h"
#include "validate/parallel/sharded_parameters.h"

namespace foretrain::parallel {

class LayerBench {
 public:
  /// `unit` is a unit of `model`, with initial_weights(model, 1).
  LayerBench(const SmallModel& model, const ParallelPlan& plan, const std::string& unit, const CheckRun& run);
  LayerBench(const LayerBench&) = delete;
  LayerBench& operator=(const LayerBench&) = delete;

  const RankContext& rank() const { return rank_; }
  const Unit& unit() { return parameters_.units().front(); }
  Communicator& tensor() { return *mesh_.tensor; }
  Communicator& context() { return *mesh_.context; }

  /// This rank's rows, inside a tensor region or outside, of whole[sequence number](position, column).
  std::vector<double> rows(const std::vector<Matrix>& whole, bool inside) const;
  Tensor upload_rows(const std::vector<Matrix>& whole, bool inside) const;
  void compare_rows(std::string_view where, const Tensor& got, const std::vector<Matrix>& wanted, bool inside);
  /// Sums the unit's gradients as the end of a step does, then compares them with the reference's.
  void compare_gradients(const ReferenceWeights& wanted);
  void require_calls(Communicator& group, Operation operation, std::int64_t calls, const std::string& when);
  /// Errors may be this much larger: where the layer amplifies what rounding left of its inputs.
  void set_condition(double condition) { condition_ = condition; }
  double allowed() const;

 private:
  const SmallModel model_;
  const ParallelPlan plan_;
  const CheckRun& run_;
  PlaceRules rules_;
  Mesh mesh_;
  std::unique_ptr<RandomStreams> streams_;
  RankContext rank_;
  ShardedParameters parameters_;
  double condition_ = 1;
};

/// One matrix a sequence of the micro-batch, of uniform numbers in +-`width`; `seed` tells them apart.
std::vector<Matrix> random_matrices(std::int64_t count, std::int64_t rows, std::int64_t columns, double width,
                                    std::uint64_t seed);

}  // namespace foretrain::parallel
