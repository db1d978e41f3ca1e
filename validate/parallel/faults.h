/// Parallel training broken on purpose, one place at a time, so that a check can show that it would notice.
#pragma once

#include <string>

#include "validate/parallel/trainer.h"

namespace foretrain::parallel {

enum class FaultKind : std::uint8_t {
  skip,                    ///< a communication does not happen; each rank keeps what it has
  repeat,                  ///< a sum is taken twice: times the ranks by all-reduce, times two by reduce-scatter
  sum_for_mean,            ///< no division by the ranks
  shift,                   ///< every rank gets its neighbour's piece
  weights_of_next,         ///< weights are cut at the next tensor rank's offset
  tokens_of_first_data,    ///< every data rank trains on the first one's sequences
  tokens_of_next_context,  ///< a context rank loads the next one's positions
  shared_seed,             ///< tensor ranks draw alike where each should draw its own
  distinct_seed,           ///< tensor ranks draw their own where all should draw alike
  forgotten_random_state   ///< recomputation goes on drawing where the last forward pass stopped
};

struct Fault {
  FaultKind kind = FaultKind::skip;
  std::string what;  ///< of the communication: its `what`, or with a * at the end the beginning of it
};
std::string text_of(const Fault& fault);

/// `inner` whose communicators have the fault, on every rank alike. Both must outlive it.
class FaultyWorld final : public World {
 public:
  FaultyWorld(World& inner, Math& math, Fault fault);
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::unique_ptr<Communicator> group(const std::vector<int>& ranks, const std::string& name) override;

 private:
  World& inner_;
  Math& math_;
  Fault fault_;
};

/// The rules of places, with the fault if it is one of them.
PlaceRules rules_with(const Fault& fault, const ParallelPlan& plan);

}  // namespace foretrain::parallel
