/// Pipeline schedules: in which order a stage runs its forward and backward passes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace foretrain::sim {

enum class PassKind : std::uint8_t { forward, backward };

/// One pass of one micro-batch through one chunk of a stage.
struct Pass {
  PassKind kind = PassKind::forward;
  std::int32_t chunk = 0;        ///< 0 .. virtual_stages - 1
  std::int32_t micro_batch = 0;  ///< 0 .. micro_batches - 1
  friend bool operator==(const Pass&, const Pass&) = default;
};

struct PipelineShape {
  std::int32_t stages = 1;
  std::int32_t virtual_stages = 1;  ///< chunks per stage
  std::int32_t micro_batches = 1;
};

/// The passes of `stage` in order. Needs 0 <= stage < stages, and what `legal` asks for.
using OrderFunction = std::vector<Pass> (*)(const PipelineShape&, std::int32_t stage);

struct Schedule {
  std::string_view name;  ///< "1f1b"
  std::string_view summary, source;
  OrderFunction order;
  /// nullptr when the shape is legal, otherwise why not ("needs micro-batches divisible by stages").
  const char* (*why_illegal)(const PipelineShape&);
  /// The most passes whose activations `stage` holds at once, in micro-batch x chunk units (closed form).
  std::int64_t (*peak_in_flight)(const PipelineShape&, std::int32_t stage);
};

/// gpipe, 1f1b, interleaved: one row each, in schedule.cc.
std::span<const Schedule> schedules();
const Schedule* find_schedule(std::string_view name);

}  // namespace foretrain::sim
