/// One rank's training of a small model under a parallel plan, step by step.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "validate/parallel/model_part.h"
#include "validate/parallel/pipeline.h"

namespace foretrain::parallel {

struct TrainSetup {
  SmallModel model;
  ParallelPlan plan;
  AdamOptions adam;
  std::uint64_t seed = 1;  ///< of weights and masks
};

/// What a rank takes for its place; a check replaces one to see that it is found out.
struct PlaceRules {
  /// Whose piece of the weights, and whose tokens, the rank at this place loads.
  std::function<Coordinates(const Coordinates&)> weights = [](const Coordinates& place) { return place; };
  std::function<Coordinates(const Coordinates&)> tokens = [](const Coordinates& place) { return place; };
  std::function<std::unique_ptr<RandomStreams>(std::uint64_t seed, const Coordinates&)> streams =
      [](std::uint64_t seed, const Coordinates& place) {
        return std::make_unique<RandomStreams>(seeds_of(seed, place.tensor, place.context));
      };
};

/// nullptr when a model can run under a plan, otherwise why not ("needs layers divisible by pipeline parts").
const char* why_illegal(const SmallModel& model, const ParallelPlan& plan);

class Trainer {
 public:
  /// Every rank of the world makes one. Needs why_illegal(...) == nullptr.
  Trainer(const TrainSetup& setup, World& world, Math& math, const PlaceRules& rules = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Forward and backward passes of a step (from 0) and the reduction of gradients. Gives the mean loss of the global
  /// batch, the same on every rank.
  double compute_gradients(std::int64_t step);
  /// Adam. After compute_gradients of the same step.
  void update(std::int64_t step);

  /// By "unit/name", this rank's pieces: of the reduced gradients (before `update`), and of the parameters.
  Weights gradients();
  Weights weights();

  const Mesh& mesh() const { return mesh_; }
  const Coordinates& place() const { return mesh_.place; }
  /// The most passes between their forward and backward at once.
  std::int64_t most_in_flight() const { return most_in_flight_; }

 private:
  MicroBatch tokens_of(std::int64_t step, std::int32_t micro_batch) const;
  Weights report(const std::function<Tensor(const Unit&)>& flat_of);

  TrainSetup setup_;
  PlaceRules rules_;
  Math& math_;
  Mesh mesh_;
  std::unique_ptr<RandomStreams> streams_;
  RankContext rank_;
  ShardedParameters parameters_;
  std::vector<ModelPart> parts_;                                      ///< by chunk
  std::map<std::pair<std::int32_t, std::int32_t>, PartSaved> saved_;  ///< by chunk and micro-batch
  std::int64_t most_in_flight_ = 0;
};

}  // namespace foretrain::parallel
