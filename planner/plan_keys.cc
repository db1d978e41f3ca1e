#include "planner/plan_keys.h"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

namespace foretrain {
namespace {

/// The schedules of plan.h first and in its order, then those that only have a name.
constexpr std::array<std::string_view, 6> kNamedSchedules = {"gpipe", "1f1b", "interleaved",
                                                             "zb-h1", "zb-v", "dualpipe-v"};
static_assert(std::equal(kScheduleNames.begin(), kScheduleNames.end(), kNamedSchedules.begin()));

}  // namespace

std::int32_t as_int32(const SpecNode& value, IntRange range) { return static_cast<std::int32_t>(value.as_int(range)); }

ScheduleKind as_schedule(const SpecNode& value) {
  const std::size_t index = value.as_choice(kNamedSchedules, "schedule");
  if (index >= kScheduleNames.size()) {
    value.fail(
        fmt::format("schedule \"{}\" is not modelled yet; use gpipe, 1f1b or interleaved", kNamedSchedules[index]));
  }
  return static_cast<ScheduleKind>(index);
}

Recompute as_recompute(const SpecNode& value) {
  return static_cast<Recompute>(value.as_choice(kRecomputeNames, "recomputation"));
}

ContextKind as_context_kind(const SpecNode& value) {
  return static_cast<ContextKind>(value.as_choice(kContextKindNames, "kind of context parallelism"));
}

Overlap as_overlap(const SpecNode& value, Overlap otherwise) {
  value.allow_only({"tensor", "data", "pipeline"});
  if (const auto tensor = value.optional("tensor")) otherwise.tensor = tensor->as_bool();
  if (const auto data = value.optional("data")) otherwise.data = data->as_bool();
  if (const auto pipeline = value.optional("pipeline")) otherwise.pipeline = pipeline->as_bool();
  return otherwise;
}

Offload as_offload(const SpecNode& value) {
  value.allow_only({"optimizer", "activations"});
  Offload offload;
  if (const auto optimizer = value.optional("optimizer")) offload.optimizer = optimizer->as_real({0, 1});
  if (const auto activations = value.optional("activations")) offload.activations = activations->as_real({0, 1});
  return offload;
}

std::string as_rank_order(const SpecNode& value) {
  const std::string order = value.as_string();
  std::vector<std::string> axes;
  for (std::size_t start = 0; start <= order.size();) {
    const std::size_t end = std::min(order.find('-', start), order.size());
    axes.push_back(order.substr(start, end - start));
    start = end + 1;
  }
  std::sort(axes.begin(), axes.end());
  if (axes != std::vector<std::string>{"cp", "dp", "ep", "pp", "tp"}) {
    value.fail_expected("tp, cp, ep, dp and pp in some order, joined by \"-\", as in \"tp-cp-ep-dp-pp\"");
  }
  return order;
}

std::vector<std::int32_t> as_stage_layers(const SpecNode& value, std::int32_t pipeline, std::int32_t virtual_pipeline) {
  std::vector<std::int32_t> layers;
  for (const SpecNode& item : value.items()) layers.push_back(as_int32(item, {0, 10'000}));
  const std::size_t chunks = static_cast<std::size_t>(pipeline) * static_cast<std::size_t>(virtual_pipeline);
  if (layers.empty() || layers.size() == chunks) return layers;
  if (layers.size() != static_cast<std::size_t>(pipeline)) {
    value.fail(fmt::format("expected {} entries (one a stage){}; got {}", pipeline,
                           virtual_pipeline > 1 ? fmt::format(" or {} (one a virtual stage)", chunks) : "",
                           layers.size()));
  }
  std::vector<std::int32_t> split;
  for (std::int32_t chunk = 0; chunk < virtual_pipeline; ++chunk) {
    for (std::size_t stage = 0; stage < layers.size(); ++stage) {
      if (layers[stage] % virtual_pipeline != 0) {
        value.fail(fmt::format("stage {} has {} layers, which {} virtual stages cannot share evenly; give {} entries",
                               stage, layers[stage], virtual_pipeline, chunks));
      }
      split.push_back(layers[stage] / virtual_pipeline);
    }
  }
  return split;
}

}  // namespace foretrain
