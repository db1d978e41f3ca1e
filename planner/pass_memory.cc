#include "planner/pass_memory.h"

#include <algorithm>

#include "base/check.h"

namespace foretrain {

PassMemory pass_memory(const Plan& plan, const PlanCosts& costs, std::size_t k) {
  const ActivationBytes& a = costs.blocks->activations;
  const std::int64_t layers = costs.placement.layers[k];
  const std::int64_t recomputed = recomputed_layers(plan, layers);
  PassMemory m;
  m.activations = plan.recompute == Recompute::full ? recomputed * a.layer + (layers - recomputed) * a.layer_kept
                                                    : layers * a.layer;
  if (layers > 0) {
    m.forward_working = a.forward_working;
    m.backward_working = a.backward_working;
  }
  if (k == 0) m.activations += a.embedding;
  if (k + 1 < costs.placement.layers.size()) m.activations += a.stage_output;
  if (k + 1 == costs.placement.layers.size()) {
    m.activations += a.head;
    m.logits = a.logits;
    // Layers and head run one after the other. While the layers do, the kept logits are not there yet, or no longer.
    const auto larger = [&](std::int64_t head, std::int64_t& working, std::int64_t& logits) {
      working -= a.logits;
      if (working > head) return;
      working = 0;
      logits = head;
    };
    larger(a.head_forward, m.forward_working, m.forward_logits);
    larger(a.head_backward, m.backward_working, m.backward_logits);
  }
  return m;
}

std::vector<PeakMoment> peak_moments(const sim::Schedule& schedule, const sim::PipelineShape& shape,
                                     std::int32_t stage) {
  std::vector<PeakMoment> moments;
  std::vector<std::int32_t> held(static_cast<std::size_t>(shape.virtual_stages), 0);
  const auto covers = [](const PeakMoment& a, const PeakMoment& b) {
    if (a.kind != b.kind || a.chunk != b.chunk) return false;
    return std::equal(a.held.begin(), a.held.end(), b.held.begin(),
                      [](std::int32_t x, std::int32_t y) { return x >= y; });
  };
  for (const sim::Pass& pass : schedule.order(shape, stage)) {
    std::int32_t& count = held[static_cast<std::size_t>(pass.chunk)];
    if (pass.kind == sim::PassKind::forward) ++count;
    PeakMoment now{.held = held, .kind = pass.kind, .chunk = pass.chunk};
    if (std::none_of(moments.begin(), moments.end(), [&](const PeakMoment& m) { return covers(m, now); })) {
      std::erase_if(moments, [&](const PeakMoment& m) { return covers(now, m); });
      moments.push_back(std::move(now));
    }
    if (pass.kind == sim::PassKind::backward) --count;
  }
  return moments;
}

namespace {
/// With so many micro-batches a stage has held everything that it will ever hold: in the steady state of 1F1B it holds
/// what it held a pass before, in that of interleaving what it held a round of `stages` micro-batches before, and the
/// warm-up is over within two rounds.
std::int32_t enough_micro_batches(ScheduleKind kind, const sim::PipelineShape& shape) {
  const std::int64_t rounds = kind == ScheduleKind::interleaved ? 4 : 2;
  return static_cast<std::int32_t>(std::min<std::int64_t>(shape.micro_batches, rounds * shape.stages));
}
}  // namespace

std::vector<PeakMoment> peak_moments(ScheduleKind kind, sim::PipelineShape shape, std::int32_t stage) {
  if (kind == ScheduleKind::gpipe)
    return {{{shape.micro_batches}, sim::PassKind::forward, 0}, {{shape.micro_batches}, sim::PassKind::backward, 0}};
  shape.micro_batches = enough_micro_batches(kind, shape);
  return peak_moments(schedule_of(kind), shape, stage);
}

const std::vector<PeakMoment>& PeakMoments::of(ScheduleKind kind, const sim::PipelineShape& shape, std::int32_t stage) {
  const std::int32_t held = kind == ScheduleKind::gpipe ? shape.micro_batches : enough_micro_batches(kind, shape);
  std::vector<std::vector<PeakMoment>>& stages = by_shape_[{kind, shape.stages, shape.virtual_stages, held}];
  if (stages.empty()) stages.resize(static_cast<std::size_t>(shape.stages));
  std::vector<PeakMoment>& moments = stages[static_cast<std::size_t>(stage)];
  if (moments.empty()) moments = peak_moments(kind, shape, stage);
  return moments;
}

const sim::Schedule& schedule_of(ScheduleKind kind) {
  const sim::Schedule* schedule = sim::find_schedule(kScheduleNames[static_cast<std::size_t>(kind)]);
  FORETRAIN_CHECK(schedule != nullptr);
  return *schedule;
}

sim::PipelineShape pipeline_shape(const Plan& plan, const PlanCosts& costs) {
  return {.stages = plan.pipeline, .virtual_stages = plan.virtual_pipeline, .micro_batches = costs.micro_batches};
}

}  // namespace foretrain
