/// A rank's parameters, how their gradients become those of the whole batch, and their update: data parallelism and
/// ZeRO.
#pragma once

#include <string_view>
#include <vector>

#include "validate/parallel/math.h"
#include "validate/parallel/plan.h"
#include "validate/parallel/small_model.h"

namespace foretrain::parallel {

/// One parameter's piece on this tensor rank, [rows, columns]; both are views of the unit's flat tensors.
struct Parameter {
  ParameterSpec spec;
  Tensor value;
  Tensor gradient;
};

/// Parameters side by side in one flat tensor, padded to a multiple of the data ranks. Where ZeRO shards, the data
/// ranks hold equal consecutive shards.
struct Unit {
  std::string name;
  std::vector<Parameter> parameters;
  Tensor values;
  Tensor gradients;       ///< summed over this rank's micro-batches
  Tensor value_shard;     ///< what this rank updates; everything without ZeRO
  Tensor gradient_shard;  ///< averaged over the data ranks, once reduced
  Tensor mean;            ///< Adam's moments, for the shard
  Tensor square;

  const Parameter& operator[](std::string_view parameter) const;
  /// nullptr when there is none of that name.
  const Parameter* find(std::string_view parameter) const;
};

/// What a parameter's piece and its gradient's are called in reports: "layer 0/query weight".
std::string full_name(const Unit& unit, const Parameter& parameter);

/// The part of the whole parameter that tensor rank `tensor_rank` holds, and of how many.
struct Part {
  std::int64_t number = 0;
  std::int64_t of = 1;
};
Part part_of(const ParameterSpec& spec, int tensor_rank, int tensor_ranks);

/// The units of one rank under a plan's ZeRO stage. Source of the stages: Rajbhandari et al., arXiv 1910.02054.
///   0: gradients all-reduced at the end of the step, everything updated everywhere
///   1: gradients reduce-scattered at the end of the step, a shard updated, parameters all-gathered
///   2: gradients reduce-scattered after each micro-batch; only shards are summed
///   3: as 2, and parameters gathered before each use and dropped (overwritten with NaN) after it
class ShardedParameters {
 public:
  /// `tied` says that unit "words" is also on another stage, whose gradient it shares.
  ShardedParameters(const ParallelPlan& plan, const Mesh& mesh, Math& math, bool tied);

  /// Adds a unit with tensor rank `tensor_rank`'s pieces of `weights`.
  void add(const UnitSpec& spec, const Weights& weights, int tensor_rank);
  Unit& unit(std::string_view name);
  std::vector<Unit>& units() { return units_; }

  /// Before and after a unit's parameters are read.
  void gather(Unit& unit);
  void release(Unit& unit);
  /// After a micro-batch has added its gradient.
  void finish_backward(Unit& unit);
  /// After the last micro-batch: gradient_shard is then the whole batch's gradient.
  void reduce_gradients();
  /// Adam on the shards; then every rank has the new parameters. `step` counts from 1.
  void update(const AdamOptions& options, std::int64_t step);
  /// Flat, for reports: the reduced gradient, and the values that the next pass will read. Every data rank calls them.
  Tensor whole_gradient(const Unit& unit);
  Tensor whole_values(const Unit& unit);

 private:
  /// Sums over tensor ranks the gradients of which each rank holds a share: norms under sequence parallelism, keys and
  /// values that several ranks hold.
  void sum_partial_gradients(const Unit& unit);
  void sum_tied_gradients();
  Tensor whole(const Unit& unit, const Tensor& shard);
  bool sharded(int from_stage) const { return plan_.zero_stage >= from_stage; }

  const ParallelPlan& plan_;
  const Mesh& mesh_;
  Math& math_;
  bool tied_;
  std::vector<Unit> units_;
};

}  // namespace foretrain::parallel
