#include "sim/memory_meter.h"

#include "sim/rows.h"

namespace foretrain::sim {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& values) {
  std::int64_t total = 0;
  for (const std::int64_t value : values) total += value;
  return total;
}

}  // namespace

MemoryMeter::MemoryMeter(const TaskGraph& graph) : graph_(graph) {
  const std::vector<MemoryEffect>& effects = graph.memory_effects();
  Rows by_task = rows_of(
      graph.task_count(), effects, [](const MemoryEffect& e) { return e.task; },
      [](const MemoryEffect&, std::int32_t number) { return number; });
  begin_ = std::move(by_task.begin);
  effects_.reserve(effects.size());
  for (const std::int32_t number : by_task.values) {
    const MemoryEffect& effect = effects[static_cast<std::size_t>(number)];
    effects_.push_back({effect.bytes, graph.device_of(effect.task), effect.at_end});
  }
  for (const std::vector<std::int64_t>& held : graph.static_memory()) static_bytes_.push_back(sum(held));
  level_ = static_bytes_;
  peak_ = static_bytes_;
  peak_at_.resize(level_.size());
  touched_.resize(level_.size());
}

void MemoryMeter::close_instant(TimePoint now) {
  for (const DeviceId device : touched_devices_) {
    const auto d = static_cast<std::size_t>(device);
    touched_[d] = 0;
    if (level_[d] > peak_[d]) {
      peak_[d] = level_[d];
      peak_at_[d] = now;
    }
  }
  touched_devices_.clear();
}

std::vector<MemoryPeak> MemoryMeter::peaks(const Timeline& timeline) const {
  const std::vector<std::vector<std::int64_t>> held = graph_.static_memory();
  std::vector<MemoryPeak> peaks(held.size());
  for (std::size_t d = 0; d < peaks.size(); ++d) peaks[d] = {peak_[d], peak_at_[d], held[d]};
  for (const MemoryEffect& effect : graph_.memory_effects()) {
    const auto d = static_cast<std::size_t>(graph_.device_of(effect.task));
    // A device that never rose has its peak before the first effect.
    if (peak_[d] == static_bytes_[d]) continue;
    const auto t = static_cast<std::size_t>(effect.task);
    if ((effect.at_end ? timeline.end[t] : timeline.start[t]) <= peak_at_[d])
      peaks[d].by_label[static_cast<std::size_t>(effect.label)] += effect.bytes;
  }
  return peaks;
}

}  // namespace foretrain::sim
