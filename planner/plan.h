/// A plan: every choice that says how a job is laid over a cluster, and no results.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "planner/job.h"

namespace foretrain {

enum class Recompute : std::uint8_t { none, selective, full };
inline constexpr std::array<std::string_view, 3> kRecomputeNames = {"none", "selective", "full"};
enum class ScheduleKind : std::uint8_t { gpipe, one_f_one_b, interleaved };
inline constexpr std::array<std::string_view, 3> kScheduleNames = {"gpipe", "1f1b", "interleaved"};
enum class ContextKind : std::uint8_t { ring, ulysses, all_gather };
inline constexpr std::array<std::string_view, 3> kContextKindNames = {"ring", "ulysses", "all-gather"};

/// Which communication runs beside compute.
struct Overlap {
  bool tensor = false, data = true, pipeline = true;
  friend bool operator==(const Overlap&, const Overlap&) = default;
};
/// Fractions kept in host memory.
struct Offload {
  double optimizer = 0, activations = 0;
  friend bool operator==(const Offload&, const Offload&) = default;
};

/// tensor x pipeline x data x context GPUs. Names are those of docs/FORMAT.md.
struct Plan {
  std::int32_t tensor = 1, pipeline = 1, virtual_pipeline = 1, data = 1, context = 1, expert = 1, expert_tensor = 1;
  std::int32_t micro_batch = 1;       ///< sequences
  std::int32_t zero_stage = 0;        ///< 0-3: 1 = distributed optimizer, 3 = FSDP
  std::int32_t shard_group = 0;       ///< ranks that shard (HSDP); 0 = all of data x context
  std::int32_t recompute_layers = 0;  ///< with full: layers recomputed per chunk; 0 = all
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  Recompute recompute = Recompute::none;
  ContextKind context_kind = ContextKind::ring;
  bool sequence_parallel = false;
  bool account_for_embedding = false;  ///< the embedding counts as a layer when layers are dealt to stages
  bool account_for_loss = false;       ///< so does the LM head with the loss
  Overlap overlap;
  Offload offload;
  std::vector<std::int32_t> stage_layers;  ///< layers of each virtual stage in pipeline order; empty = dealt evenly
  std::string rank_order = "tp-cp-ep-dp-pp";
  friend bool operator==(const Plan&, const Plan&) = default;
};

constexpr std::int64_t gpus_used(const Plan& p) { return std::int64_t{p.tensor} * p.pipeline * p.data * p.context; }

/// Every key of a plan object.
inline constexpr std::array<std::string_view, 21> kPlanKeys = {
    "tensor",           "pipeline",     "virtual_pipeline",  "data",
    "context",          "expert",       "expert_tensor",     "micro_batch",
    "zero_stage",       "shard_group",  "recompute_layers",  "schedule",
    "recompute",        "context_kind", "sequence_parallel", "account_for_embedding",
    "account_for_loss", "overlap",      "offload",           "stage_layers",
    "rank_order"};

/// What a trainer overlaps when nobody asks: by framework, as Software::overlap corrects it (docs/FORMAT.md).
Overlap default_overlap(const Software& software, std::int32_t tensor, std::int32_t virtual_pipeline);
/// ZeRO stage when nobody asks: 3 for FSDP and its kin, 0 for the others.
std::int32_t default_zero_stage(FrameworkKind framework);

/// The plan object of a job or run. Keys left out take the framework's defaults (`data` follows from the GPU count).
/// `gpus`: all GPUs of the cluster. Throws SpecError for what can be seen to be wrong without a model.
Plan read_plan(const SpecNode& plan, const Software& software, std::int64_t gpus);
/// SpecError for what is wrong with a plan object whatever the cluster and the model: unknown keys, wrong types,
/// contradictions between its keys.
void check_form_of_plan(const SpecNode& plan, const Software& software);
/// The plan as a compact JSON object with every key; read_plan gives it back unchanged.
std::string to_json(const Plan& plan);

/// "TP8 PP4 VPP5 DP8 mbs1 1f1b SP ZeRO-1 selective": one line for tables.
std::string to_text(const Plan&);

}  // namespace foretrain
