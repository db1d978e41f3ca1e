/// What the layers of one rank run with.
#pragma once

#include <vector>

#include "validate/parallel/math.h"
#include "validate/parallel/plan.h"
#include "validate/parallel/random_streams.h"
#include "validate/parallel/small_model.h"

namespace foretrain::parallel {

struct RankContext {
  Math& math;
  const Mesh& mesh;
  const SmallModel& model;
  const ParallelPlan& plan;
  RandomStreams& streams;
  std::vector<std::vector<int>> positions;  ///< that each context rank holds

  const std::vector<int>& own_positions() const { return positions[static_cast<std::size_t>(mesh.place.context)]; }
  /// Rows of activations inside tensor-parallel regions, and outside of them: there, with sequence parallelism, each
  /// tensor rank holds an equal consecutive share.
  std::int64_t whole_rows() const { return static_cast<std::int64_t>(own_positions().size()) * plan.micro_batch; }
  std::int64_t own_rows() const { return plan.sequence_parallel ? whole_rows() / plan.tensor : whole_rows(); }
  Region region_outside() const { return plan.sequence_parallel ? Region::split : Region::replicated; }
};

}  // namespace foretrain::parallel
