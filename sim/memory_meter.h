/// Follows what each device holds while a graph runs, and keeps its highest level.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time_point.h"
#include "sim/task_graph.h"
#include "sim/timeline.h"

namespace foretrain::sim {

/// The level of a device at an instant counts every effect up to and at that instant: what ends frees its bytes before
/// what starts gains its own, and what is gained and freed at one instant is never held. So the order in which the
/// tasks of one instant are handled does not matter.
class MemoryMeter {
 public:
  explicit MemoryMeter(const TaskGraph& graph);

  /// `task` starts (or ends) in the instant now open.
  void apply(TaskId task, bool at_end) {
    const auto t = static_cast<std::size_t>(task);
    for (std::int32_t i = begin_[t]; i < begin_[t + 1]; ++i) {
      const Effect& effect = effects_[static_cast<std::size_t>(i)];
      if (effect.at_end == at_end) apply(effect);
    }
  }

  /// Instant `now` is over: levels that are new heights become peaks.
  void close_instant(TimePoint now);

  /// The peaks, with what each label held at their instants. `timeline` gives start and end of every task.
  [[nodiscard]] std::vector<MemoryPeak> peaks(const Timeline& timeline) const;

 private:
  struct Effect {
    std::int64_t bytes;
    DeviceId device;
    bool at_end;
  };
  void apply(const Effect& effect) {
    const auto d = static_cast<std::size_t>(effect.device);
    level_[d] += effect.bytes;
    if (touched_[d] == 0) touched_devices_.push_back(effect.device);
    touched_[d] = 1;
  }

  const TaskGraph& graph_;
  std::vector<std::int32_t> begin_;                        ///< [task + 1] first of its effects
  std::vector<Effect> effects_;                            ///< by task
  std::vector<std::int64_t> level_, static_bytes_, peak_;  ///< [device]
  std::vector<TimePoint> peak_at_;                         ///< [device]
  std::vector<std::uint8_t> touched_;                      ///< [device] changed in the open instant
  std::vector<DeviceId> touched_devices_;
};

}  // namespace foretrain::sim
