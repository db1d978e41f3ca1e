/// What a pipeline pass does to a GPU's memory, and which passes are in flight at a stage's peak.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "planner/memory.h"
#include "planner/plan_cost.h"
#include "sim/schedule.h"

namespace foretrain {

/// Bytes of one pass of one micro-batch through a virtual stage.
struct PassMemory {
  std::int64_t activations = 0;  ///< kept from the forward pass's start to the backward pass's end
  std::int64_t logits = 0;       ///< the same, for the loss
  // Held while the pass runs: by its layers (label temporary) or, where that is more, by head and loss (label logits).
  std::int64_t forward_working = 0, backward_working = 0;
  std::int64_t forward_logits = 0, backward_logits = 0;
};
PassMemory pass_memory(const Plan& plan, const PlanCosts& costs, std::size_t virtual_stage);

/// A moment of a stage's schedule that no other moment exceeds: `held[chunk]` micro-batches in flight, while `pass`
/// runs.
struct PeakMoment {
  std::vector<std::int32_t> held;
  sim::PassKind kind = sim::PassKind::forward;
  std::int32_t chunk = 0;
};
/// All such moments of `stage`: whatever the chunks weigh, the peak is at one of them.
std::vector<PeakMoment> peak_moments(const sim::Schedule& schedule, const sim::PipelineShape& shape,
                                     std::int32_t stage);

/// The same without walking through more micro-batches than can matter.
std::vector<PeakMoment> peak_moments(ScheduleKind kind, sim::PipelineShape shape, std::int32_t stage);

/// Remembers peak_moments. One per thread; not synchronised.
class PeakMoments {
 public:
  const std::vector<PeakMoment>& of(ScheduleKind kind, const sim::PipelineShape& shape, std::int32_t stage);

 private:
  using Key = std::tuple<ScheduleKind, std::int32_t, std::int32_t, std::int32_t>;
  std::map<Key, std::vector<std::vector<PeakMoment>>> by_shape_;  // [stage]; filled when first asked for
};

/// The schedule's row in sim's table.
const sim::Schedule& schedule_of(ScheduleKind kind);
sim::PipelineShape pipeline_shape(const Plan& plan, const PlanCosts& costs);

}  // namespace foretrain
