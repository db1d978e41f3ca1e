#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "planner/plan_keys.h"
#include "planner/problem.h"

namespace foretrain {
namespace {

bool is_any(const SpecNode& value) { return value.is_string() && to_lower(value.as_string()) == "any"; }

/// The values of `key`: none for "any" or a key left out, else one or a list, each read by `read`; repeats are dropped.
template <class T, class Read>
std::vector<T> values_of(const SpecNode& search, std::string_view key, Read read) {
  std::vector<T> values;
  const auto node = search.optional(key);
  if (!node || is_any(*node)) return values;
  const std::vector<SpecNode> items = node->is_array() ? node->items() : std::vector<SpecNode>{*node};
  if (items.empty()) node->fail_expected("a value, a list with at least one, or \"any\"");
  for (const SpecNode& item : items) {
    const T value = read(item);
    bool is_new = true;
    for (const T known : values) is_new = is_new && known != value;
    if (is_new) values.push_back(value);
  }
  return values;
}

std::vector<std::int32_t> numbers_of(const SpecNode& search, std::string_view key, IntRange range) {
  return values_of<std::int32_t>(search, key, [range](const SpecNode& item) { return as_int32(item, range); });
}
std::vector<bool> flags_of(const SpecNode& search, std::string_view key) {
  return values_of<bool>(search, key, [](const SpecNode& item) { return item.as_bool(); });
}

/// A key that the search does not enumerate: fixed to one value, or left at its default.
std::optional<SpecNode> fixed(const SpecNode& search, std::string_view key, bool is_list = false) {
  auto node = search.optional(key);
  if (!node || is_any(*node)) return std::nullopt;
  if (node->is_array() && !is_list) node->fail("this key is not searched over; fix it to one value");
  return node;
}

}  // namespace

SearchSpec read_search(const SpecNode& search) {
  search.allow_only(kPlanKeys);
  SearchSpec s;
  s.tensor = numbers_of(search, "tensor", kDegreeRange);
  s.pipeline = numbers_of(search, "pipeline", kDegreeRange);
  s.virtual_pipeline = numbers_of(search, "virtual_pipeline", kDegreeRange);
  s.data = numbers_of(search, "data", kDegreeRange);
  s.context = numbers_of(search, "context", kDegreeRange);
  s.micro_batch = numbers_of(search, "micro_batch", kDegreeRange);
  s.zero_stage = numbers_of(search, "zero_stage", kZeroStageRange);
  s.recompute_layers = numbers_of(search, "recompute_layers", kCountRange);
  s.schedule = values_of<ScheduleKind>(search, "schedule", as_schedule);
  s.recompute = values_of<Recompute>(search, "recompute", as_recompute);
  s.context_kind = values_of<ContextKind>(search, "context_kind", as_context_kind);
  s.sequence_parallel = flags_of(search, "sequence_parallel");
  s.account_for_embedding = flags_of(search, "account_for_embedding");
  s.account_for_loss = flags_of(search, "account_for_loss");
  if (const auto expert = fixed(search, "expert")) s.base.expert = as_int32(*expert, kDegreeRange);
  if (const auto tensor = fixed(search, "expert_tensor")) s.base.expert_tensor = as_int32(*tensor, kDegreeRange);
  if (const auto group = fixed(search, "shard_group")) s.base.shard_group = as_int32(*group, kCountRange);
  if (const auto offload = fixed(search, "offload")) s.base.offload = as_offload(*offload);
  if (const auto order = fixed(search, "rank_order")) s.base.rank_order = as_rank_order(*order);
  if (const auto overlap = fixed(search, "overlap")) {
    for (const char* key : {"tensor", "data", "pipeline"}) static_cast<void>(overlap->required(key));
    s.overlap = as_overlap(*overlap, Overlap{});
  }
  if (const auto stage_layers = fixed(search, "stage_layers", true)) {
    if (s.pipeline.size() != 1) stage_layers->fail("needs one value of pipeline in the search");
    if (s.virtual_pipeline.size() > 1) stage_layers->fail("needs one value of virtual_pipeline in the search");
    if (s.virtual_pipeline.empty()) s.virtual_pipeline = {1};
    s.base.stage_layers = as_stage_layers(*stage_layers, s.pipeline.front(), s.virtual_pipeline.front());
  }
  return s;
}

}  // namespace foretrain
