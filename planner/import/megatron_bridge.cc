/// A recipe of Megatron-Bridge, laid out as `foretrain export` writes it, as a job: its attributes are read as
/// Megatron-LM's arguments for the same.
#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "planner/export/bridge_keys.h"
#include "planner/import/megatron_job.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

struct Attribute {
  std::string value;
  std::int64_t line = 0;
};

/// "    cfg.model.num_layers = 80" by attribute: "model.num_layers" -> "80".
std::map<std::string, Attribute, std::less<>> attributes_of(std::string_view text) {
  std::map<std::string, Attribute, std::less<>> attributes;
  for (std::int64_t line = 1; !text.empty(); ++line) {
    std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(row.size() + 1, text.size()));
    const std::size_t start = row.find_first_not_of(" \t");
    if (start == std::string_view::npos || !row.substr(start).starts_with("cfg.")) continue;
    row.remove_prefix(start + 4);
    const std::size_t equals = row.find(" = ");
    if (equals == std::string_view::npos) continue;
    std::string value(row.substr(equals + 3));
    if (value.size() > 1 && value.front() == '"') value = value.substr(1, value.find('"', 1) - 1);
    attributes[std::string(row.substr(0, equals))] = {value, line};
  }
  return attributes;
}

/// The number behind `option` in the comment that says how to start the recipe.
std::optional<std::int64_t> number_behind(std::string_view text, std::string_view option) {
  const std::size_t at = text.find(option);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + option.size(), 8);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return error == std::errc{} && value > 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

ImportedJob read_megatron_bridge(std::string_view text, const std::string& file) {
  constexpr std::size_t kLargest = 10'000'000;
  if (text.size() > kLargest) throw SpecError(file, "is over 10 MB: no recipe");
  const auto attributes = attributes_of(text);
  if (!attributes.contains("model.tensor_model_parallel_size") || !attributes.contains("train.micro_batch_size"))
    throw SpecError(file,
                    "expected a recipe of Megatron-Bridge that sets cfg.model.tensor_model_parallel_size and "
                    "cfg.train.micro_batch_size");
  std::vector<ShellWord> words;
  for (const BridgeKey& key : kBridgeKeys) {
    const auto found = attributes.find(key.attribute);
    if (found == attributes.end() || found->second.value == "None") continue;
    const auto& [value, line] = found->second;
    if (key.when_given.empty()) {
      words.push_back({fmt::format("{}={}", key.flag, value), line});
    } else if (value == key.when_given) {
      words.push_back({std::string(key.flag), line});
    } else if (value != "True" && value != "False") {
      throw SpecError(fmt::format("{}:{}", file, line), "expected True or False; got " + in_quotes(value));
    }
  }
  if (attributes.contains("model.num_query_groups")) words.push_back({"--group-query-attention", 1});
  if (const auto length = attributes.find("model.seq_length"); length != attributes.end())
    words.push_back({"--max-position-embeddings=" + length->second.value, length->second.line});
  if (const auto backend = attributes.find("model.attention_backend"); backend != attributes.end())
    words.push_back({"--attention-backend=" + backend->second.value, backend->second.line});
  if (const auto precision = attributes.find("mixed_precision"); precision != attributes.end()) {
    for (const BridgePrecision& p : kBridgePrecisions) {
      if (p.name != precision->second.value) continue;
      const ShellRun flags = follow_script("flags " + std::string(p.flags), file);
      for (const ShellWord& word : flags.commands.front())
        if (word.text != "flags") words.push_back({word.text, precision->second.line});
    }
  }
  const auto gpus = number_behind(text, "--nproc-per-node "), nodes = number_behind(text, "--nnodes ");
  const std::optional<std::int64_t> world = gpus && nodes ? std::optional(*gpus * *nodes) : std::nullopt;
  return megatron_job(words, world, file, {});
}

}  // namespace foretrain
