#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/plan.h"
#include "planner/plan_keys.h"

namespace foretrain {
namespace {

/// Words of `software.overlap` in published runs, and what they say. Later rows win.
struct OverlapPhrase {
  std::string_view words;
  bool Overlap::*what;
  bool value;
};
constexpr std::array kOverlapPhrases = {
    OverlapPhrase{"tp_comm_overlap", &Overlap::tensor, true},
    OverlapPhrase{"tp comm overlap", &Overlap::tensor, true},
    OverlapPhrase{"asynctp", &Overlap::tensor, true},
    OverlapPhrase{"tp_linear_async_communication", &Overlap::tensor, true},
    OverlapPhrase{"grad-reduce", &Overlap::data, true},
    OverlapPhrase{"overlap_grad_sync", &Overlap::data, true},
    OverlapPhrase{"dist-optimizer overlap", &Overlap::data, true},
    OverlapPhrase{"fsdp prefetch", &Overlap::data, true},
    OverlapPhrase{"tp and pp communication overlap disabled", &Overlap::tensor, false},
    OverlapPhrase{"tp and pp communication overlap disabled", &Overlap::pipeline, false},
    OverlapPhrase{"dist-optimizer overlap off", &Overlap::data, false},
};

bool is_fully_sharded(FrameworkKind framework) {
  return framework == FrameworkKind::fsdp || framework == FrameworkKind::torchtitan ||
         framework == FrameworkKind::maxtext;
}

/// `key` of `plan`, or `otherwise` when it is left out.
std::int32_t int_or(const SpecNode& plan, std::string_view key, IntRange range, std::int32_t otherwise) {
  const auto value = plan.optional(key);
  return value ? as_int32(*value, range) : otherwise;
}
bool bool_or(const SpecNode& plan, std::string_view key, bool otherwise) {
  const auto value = plan.optional(key);
  return value ? value->as_bool() : otherwise;
}

void read_degrees(const SpecNode& node, std::int64_t gpus, Plan& plan) {
  plan.tensor = int_or(node, "tensor", kDegreeRange, 1);
  plan.pipeline = int_or(node, "pipeline", kDegreeRange, 1);
  plan.context = int_or(node, "context", kDegreeRange, 1);
  plan.expert = int_or(node, "expert", kDegreeRange, 1);
  plan.expert_tensor = int_or(node, "expert_tensor", kDegreeRange, 1);
  const double of_one_copy = static_cast<double>(plan.tensor) * plan.pipeline * plan.context;
  if (of_one_copy > static_cast<double>(gpus)) {
    node.fail(fmt::format("tensor {} x pipeline {} x context {} needs {:.0f} GPUs; the cluster has {}", plan.tensor,
                          plan.pipeline, plan.context, of_one_copy, gpus));
  }
  const std::int64_t most = gpus / static_cast<std::int64_t>(of_one_copy);
  plan.data = int_or(node, "data", kDegreeRange, static_cast<std::int32_t>(most));
  if (plan.data > most) {
    node.required("data").fail(
        fmt::format("tensor {} x pipeline {} x data {} x context {} needs {:.0f} GPUs; the cluster has {}", plan.tensor,
                    plan.pipeline, plan.data, plan.context, of_one_copy * plan.data, gpus));
  }
}

void read_pipeline(const SpecNode& node, Plan& plan) {
  const std::int32_t virtual_pipeline = int_or(node, "virtual_pipeline", {1, 10'000}, 1);
  const bool is_virtual = virtual_pipeline > 1;
  plan.schedule = is_virtual ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  if (const auto schedule = node.optional("schedule")) {
    plan.schedule = as_schedule(*schedule);
    if (is_virtual && plan.schedule != ScheduleKind::interleaved) {
      schedule->fail(fmt::format("virtual_pipeline {} needs schedule \"interleaved\"", virtual_pipeline));
    }
    if (!is_virtual && plan.schedule == ScheduleKind::interleaved) {
      schedule->fail("\"interleaved\" needs virtual_pipeline of at least 2");
    }
  }
  plan.virtual_pipeline = virtual_pipeline;
  // One stage has nobody to interleave with: its chunks run one after the other, as without virtual stages.
  if (plan.pipeline == 1 && is_virtual) {
    plan.virtual_pipeline = 1;
    plan.schedule = ScheduleKind::one_f_one_b;
  }
  plan.account_for_embedding = bool_or(node, "account_for_embedding", false);
  plan.account_for_loss = bool_or(node, "account_for_loss", false);
  if (const auto stage_layers = node.optional("stage_layers")) {
    plan.stage_layers = as_stage_layers(*stage_layers, plan.pipeline, plan.virtual_pipeline);
    if (!plan.stage_layers.empty() && (plan.account_for_embedding || plan.account_for_loss)) {
      stage_layers->fail("excludes account_for_embedding and account_for_loss");
    }
  }
}

void read_sharding(const SpecNode& node, FrameworkKind framework, Plan& plan) {
  plan.zero_stage = int_or(node, "zero_stage", kZeroStageRange, default_zero_stage(framework));
  plan.shard_group = int_or(node, "shard_group", kCountRange, 0);
  if (plan.shard_group == 0) return;
  const SpecNode shard_group = node.required("shard_group");
  if (plan.zero_stage == 0) shard_group.fail("zero_stage 0 shards nothing; set zero_stage to 1, 2 or 3");
  const std::int64_t ranks = std::int64_t{plan.data} * plan.context;
  if (ranks % plan.shard_group != 0) {
    shard_group.fail_expected(fmt::format("a divisor of data x context = {}", ranks));
  }
}

void read_recompute(const SpecNode& node, Plan& plan) {
  if (const auto recompute = node.optional("recompute")) plan.recompute = as_recompute(*recompute);
  plan.recompute_layers = int_or(node, "recompute_layers", kCountRange, 0);
  if (plan.recompute_layers > 0 && plan.recompute != Recompute::full) {
    node.required("recompute_layers").fail("counts the layers of recompute \"full\"; leave it out otherwise");
  }
}

}  // namespace

std::int32_t default_zero_stage(FrameworkKind framework) { return is_fully_sharded(framework) ? 3 : 0; }

Overlap default_overlap(const Software& software, std::int32_t tensor, std::int32_t virtual_pipeline) {
  const bool is_megatron = software.framework == FrameworkKind::megatron_core;
  Overlap overlap;
  overlap.tensor = false;
  overlap.data = software.framework != FrameworkKind::megatron_deepspeed;
  // Megatron-LM overlaps the sends of the interleaved schedule only (arguments.py, overlap_p2p_communication).
  overlap.pipeline = is_megatron && virtual_pipeline > 1;
  const std::string words = to_lower(software.overlap);
  if (words == "none") return {.tensor = false, .data = false, .pipeline = false};
  for (const OverlapPhrase& phrase : kOverlapPhrases) {
    if (words.find(phrase.words) != std::string::npos) overlap.*phrase.what = phrase.value;
  }
  overlap.tensor = overlap.tensor && tensor > 1;
  return overlap;
}

Plan read_plan(const SpecNode& node, const Software& software, std::int64_t gpus) {
  node.allow_only(kPlanKeys);
  Plan plan;
  read_degrees(node, gpus, plan);
  read_pipeline(node, plan);
  read_sharding(node, software.framework, plan);
  read_recompute(node, plan);
  plan.micro_batch = int_or(node, "micro_batch", kDegreeRange, 1);
  // One tensor rank has no sequence to split: Megatron-LM warns and goes on without.
  plan.sequence_parallel =
      plan.tensor > 1 && bool_or(node, "sequence_parallel", software.framework == FrameworkKind::torchtitan);
  if (const auto kind = node.optional("context_kind")) plan.context_kind = as_context_kind(*kind);
  plan.overlap = default_overlap(software, plan.tensor, plan.virtual_pipeline);
  if (const auto overlap = node.optional("overlap")) plan.overlap = as_overlap(*overlap, plan.overlap);
  if (const auto offload = node.optional("offload")) plan.offload = as_offload(*offload);
  if (const auto order = node.optional("rank_order")) plan.rank_order = as_rank_order(*order);
  return plan;
}

void check_form_of_plan(const SpecNode& node, const Software& software) {
  node.allow_only(kPlanKeys);
  // As many GPUs as it needs; where it leaves `data` out, as many replicas as shard_group can divide.
  double gpus = std::max(1, int_or(node, "shard_group", kCountRange, 0));
  if (const auto data = node.optional("data")) gpus = as_int32(*data, kDegreeRange);
  for (const char* key : {"tensor", "pipeline", "context"}) gpus *= int_or(node, key, kDegreeRange, 1);
  constexpr double kMost = 1e15;
  if (gpus > kMost) node.fail(fmt::format("its degrees need {:.3g} GPUs; expected at most {:g}", gpus, kMost));
  static_cast<void>(read_plan(node, software, static_cast<std::int64_t>(gpus)));
}

}  // namespace foretrain
