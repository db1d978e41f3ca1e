#include "planner/plan_space.h"

#include <algorithm>

#include "planner/framework.h"
#include "planner/placement.h"
#include "planner/plan_keys.h"

namespace foretrain {
namespace {

constexpr std::int64_t kMostMicroBatch = 64;

std::vector<std::int32_t> or_default(const std::vector<std::int32_t>& given, std::vector<std::int32_t> otherwise) {
  return given.empty() ? std::move(otherwise) : given;
}

/// Divisors of the attention heads that fit the cluster.
std::vector<std::int32_t> tensor_degrees(const Problem& p) {
  std::vector<std::int32_t> degrees;
  for (std::int64_t t = 1; t <= std::min(p.model.heads, p.cluster.gpus); ++t) {
    if (p.model.heads % t == 0) degrees.push_back(static_cast<std::int32_t>(t));
  }
  return degrees;
}

std::vector<std::int32_t> powers_of_two(std::int64_t most) {
  std::vector<std::int32_t> values;
  for (std::int64_t v = 1; v <= most; v *= 2) values.push_back(static_cast<std::int32_t>(v));
  return values;
}

/// The largest data-parallel degree that the GPUs allow and the batch divides by; 0 when there is none.
std::int32_t largest_data(const Problem& p, const Plan& plan) {
  const std::int64_t copies = p.cluster.gpus / (std::int64_t{plan.tensor} * plan.pipeline * plan.context);
  for (std::int64_t d = std::min(copies, p.training.global_batch / plan.micro_batch); d >= 1; --d) {
    if (p.training.global_batch % (d * plan.micro_batch) == 0) return static_cast<std::int32_t>(d);
  }
  return 0;
}

}  // namespace

PlanSpace::PlanSpace(const Problem& problem) : problem_(problem) {
  const SearchSpec& s = problem.search;
  std::vector<bool> sequence = s.sequence_parallel.empty() ? std::vector<bool>{false, true} : s.sequence_parallel;
  std::vector<Recompute> recompute = s.recompute;
  if (recompute.empty()) {
    recompute = {Recompute::none, Recompute::full};
    // Repeating the attention core frees nothing where flash attention keeps nothing of it.
    const bool repeats_nothing = problem.software.attention == AttentionKind::flash &&
                                 framework_spec(problem.software.framework).selective == SelectiveKind::attention_core;
    if (!repeats_nothing) recompute.insert(recompute.begin() + 1, Recompute::selective);
  }
  std::vector<ContextKind> kinds =
      s.context_kind.empty() ? std::vector<ContextKind>{ContextKind::ring} : s.context_kind;
  const std::vector<std::int32_t> contexts = or_default(s.context, {1});
  for (const std::int32_t t : or_default(s.tensor, tensor_degrees(problem))) {
    for (const std::int32_t c : contexts) {
      if (std::int64_t{t} * c > problem.cluster.gpus) continue;
      for (const ContextKind kind : kinds) {
        if (c == 1 && kind != kinds.front()) continue;
        for (const bool sp : sequence) {
          if (sp && t == 1 && sequence.size() > 1) continue;  // the same as without
          for (const std::int32_t mb :
               or_default(s.micro_batch, powers_of_two(std::min(kMostMicroBatch, problem.training.global_batch)))) {
            for (const Recompute r : recompute) groups_.push_back({t, c, mb, kind, sp, r});
          }
        }
      }
    }
  }
  if (!s.pipeline.empty()) {
    pipelines_ = s.pipeline;
  } else {
    for (std::int64_t p = 1; p <= std::min(problem.model.layers + 2, problem.cluster.gpus); ++p) {
      pipelines_.push_back(static_cast<std::int32_t>(p));
    }
  }
}

void PlanSpace::visit_group(std::size_t group, const std::function<void(const Plan&)>& visit) const {
  const Group& g = groups_[group];
  Plan plan = problem_.search.base;
  plan.tensor = g.tensor;
  plan.context = g.context;
  plan.context_kind = g.context_kind;
  plan.micro_batch = g.micro_batch;
  plan.sequence_parallel = g.sequence_parallel;
  plan.recompute = g.recompute;
  visit_pipelines(plan, visit);
}

void PlanSpace::visit_pipelines(Plan& plan, const std::function<void(const Plan&)>& visit) const {
  const SearchSpec& s = problem_.search;
  for (const std::int32_t p : pipelines_) {
    if (std::int64_t{plan.tensor} * plan.context * p > problem_.cluster.gpus) continue;
    plan.pipeline = p;
    if (!s.data.empty()) {
      for (const std::int32_t d : s.data) {
        plan.data = d;
        visit_schedules(plan, visit);
      }
    } else if ((plan.data = largest_data(problem_, plan)) > 0) {
      visit_schedules(plan, visit);
    }
  }
}

void PlanSpace::visit_schedules(Plan& plan, const std::function<void(const Plan&)>& visit) const {
  const SearchSpec& s = problem_.search;
  const bool listed = !plan.stage_layers.empty();
  for (int accounting = 0; accounting < 4; ++accounting) {
    plan.account_for_embedding = (accounting & 1) != 0;
    plan.account_for_loss = (accounting & 2) != 0;
    if (listed && accounting > 0) break;
    const auto wanted = [](const std::vector<bool>& values, bool v) {
      return values.empty() || std::find(values.begin(), values.end(), v) != values.end();
    };
    if (!wanted(s.account_for_embedding, plan.account_for_embedding) ||
        !wanted(s.account_for_loss, plan.account_for_loss))
      continue;
    if (accounting > 0 && plan.pipeline == 1) break;  // one stage holds everything
    const std::int64_t counted =
        problem_.model.layers + (plan.account_for_embedding ? 1 : 0) + (plan.account_for_loss ? 1 : 0);
    std::vector<std::int32_t> virtual_degrees = s.virtual_pipeline;
    if (virtual_degrees.empty()) {
      virtual_degrees.push_back(1);
      if (plan.pipeline > 1) {
        for (std::int64_t v = 2; v * plan.pipeline <= counted; ++v) {
          if (counted % (v * plan.pipeline) == 0) virtual_degrees.push_back(static_cast<std::int32_t>(v));
        }
      }
    }
    for (const std::int32_t v : virtual_degrees) {
      plan.virtual_pipeline = v;
      plan.overlap = s.overlap ? *s.overlap : default_overlap(problem_.software, plan.tensor, v);
      const auto with = [&](ScheduleKind kind) {
        if (!s.schedule.empty() && std::find(s.schedule.begin(), s.schedule.end(), kind) == s.schedule.end()) return;
        plan.schedule = kind;
        visit_rest(plan, visit);
      };
      if (v > 1) {
        with(ScheduleKind::interleaved);
      } else {
        with(ScheduleKind::one_f_one_b);
        const bool one_micro_batch = problem_.training.global_batch == std::int64_t{plan.micro_batch} * plan.data;
        if (plan.pipeline > 1 && !one_micro_batch) with(ScheduleKind::gpipe);  // with one, both orders are the same
      }
    }
  }
}

void PlanSpace::visit_rest(Plan& plan, const std::function<void(const Plan&)>& visit) const {
  const SearchSpec& s = problem_.search;
  const bool shards = plan.data * plan.context > 1;
  const std::int64_t per_chunk = ceil_div(problem_.model.layers, std::int64_t{plan.pipeline} * plan.virtual_pipeline);
  const std::int32_t most = plan.recompute == Recompute::full ? static_cast<std::int32_t>(per_chunk - 1) : 0;
  for (std::int32_t zero = 0; zero <= 3; ++zero) {
    if (!s.zero_stage.empty() && std::find(s.zero_stage.begin(), s.zero_stage.end(), zero) == s.zero_stage.end())
      continue;
    if (zero > 0 && !shards && s.zero_stage.empty()) break;  // nothing to shard over
    plan.zero_stage = zero;
    if (!s.recompute_layers.empty()) {
      for (const std::int32_t n : s.recompute_layers) {
        if (n > 0 && plan.recompute != Recompute::full) continue;
        plan.recompute_layers = n;
        visit(plan);
      }
      continue;
    }
    for (std::int32_t n = 0; n <= most; ++n) {  // 0 = all layers of the chunk
      plan.recompute_layers = n;
      visit(plan);
    }
  }
}

PackedPlan PlanSpace::pack(const Plan& p) const {
  PackedPlan k;
  k.micro_batch = p.micro_batch;
  k.data = p.data;
  k.tensor = static_cast<std::int16_t>(p.tensor);
  k.pipeline = static_cast<std::int16_t>(p.pipeline);
  k.virtual_pipeline = static_cast<std::int16_t>(p.virtual_pipeline);
  k.context = static_cast<std::int16_t>(p.context);
  k.recompute_layers = static_cast<std::int16_t>(p.recompute_layers);
  k.zero_stage = static_cast<std::int8_t>(p.zero_stage);
  k.context_kind = static_cast<std::int8_t>(p.context_kind);
  k.schedule = static_cast<std::int8_t>(p.schedule);
  k.recompute = static_cast<std::int8_t>(p.recompute);
  k.flags = static_cast<std::int8_t>((p.sequence_parallel ? 1 : 0) | (p.account_for_embedding ? 2 : 0) |
                                     (p.account_for_loss ? 4 : 0));
  return k;
}

Plan PlanSpace::unpack(const PackedPlan& k) const {
  Plan p = problem_.search.base;
  p.micro_batch = k.micro_batch;
  p.data = k.data;
  p.tensor = k.tensor;
  p.pipeline = k.pipeline;
  p.virtual_pipeline = k.virtual_pipeline;
  p.context = k.context;
  p.recompute_layers = k.recompute_layers;
  p.zero_stage = k.zero_stage;
  p.context_kind = static_cast<ContextKind>(k.context_kind);
  p.schedule = static_cast<ScheduleKind>(k.schedule);
  p.recompute = static_cast<Recompute>(k.recompute);
  p.sequence_parallel = (k.flags & 1) != 0;
  p.account_for_embedding = (k.flags & 2) != 0;
  p.account_for_loss = (k.flags & 4) != 0;
  p.overlap = problem_.search.overlap ? *problem_.search.overlap
                                      : default_overlap(problem_.software, p.tensor, p.virtual_pipeline);
  return p;
}

}  // namespace foretrain
