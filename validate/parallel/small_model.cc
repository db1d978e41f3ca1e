#include "validate/parallel/small_model.h"

#include <cmath>

#include "validate/parallel/random_streams.h"

namespace foretrain::parallel {
namespace {

constexpr std::uint64_t kTokenSeed = 20240229;

UnitSpec norm_unit(const SmallModel& model, const std::string& unit) {
  UnitSpec spec{unit, {{.name = "weight", .columns = model.hidden, .in_sequence_region = true}}};
  if (model.family == Family::gpt)
    spec.parameters.push_back({.name = "bias", .columns = model.hidden, .in_sequence_region = true});
  return spec;
}

UnitSpec layer_unit(const SmallModel& model, std::int64_t layer) {
  const bool biases = model.family == Family::gpt;
  UnitSpec unit{"layer " + std::to_string(layer), {}};
  std::vector<ParameterSpec>& all = unit.parameters;
  const auto norm = [&](const std::string& name) {
    for (const ParameterSpec& part : norm_unit(model, name).parameters) {
      all.push_back(part);
      all.back().name = name + " " + part.name;
    }
  };
  const auto column = [&](const std::string& name, std::int64_t out, std::int64_t most_parts) {
    all.push_back(
        {.name = name + " weight", .rows = out, .columns = model.hidden, .cut = Cut::rows, .most_parts = most_parts});
    if (biases) all.push_back({.name = name + " bias", .columns = out, .cut = Cut::columns, .most_parts = most_parts});
  };
  const auto row = [&](const std::string& name, std::int64_t in) {
    all.push_back({.name = name + " weight", .rows = model.hidden, .columns = in, .cut = Cut::columns});
    if (biases) all.push_back({.name = name + " bias", .columns = model.hidden, .in_sequence_region = true});
  };
  norm("attention norm");
  column("query", model.heads * model.head_dim, model.heads);
  column("key", model.kv_heads * model.head_dim, model.kv_heads);
  column("value", model.kv_heads * model.head_dim, model.kv_heads);
  row("output", model.heads * model.head_dim);
  norm("mlp norm");
  if (model.family == Family::llama) column("gate", model.ffn_hidden, model.ffn_hidden);
  column("up", model.ffn_hidden, model.ffn_hidden);
  row("down", model.ffn_hidden);
  return unit;
}

}  // namespace

std::vector<UnitSpec> units_of(const SmallModel& model) {
  const ParameterSpec table{.name = "weight", .rows = model.vocab, .columns = model.hidden, .cut = Cut::rows};
  std::vector<UnitSpec> units = {{"words", {table}}};
  if (model.family == Family::gpt) {
    units.push_back(
        {"positions",
         {{.name = "weight", .rows = model.sequence, .columns = model.hidden, .in_sequence_region = true}}});
  }
  for (std::int64_t layer = 0; layer < model.layers; ++layer) units.push_back(layer_unit(model, layer));
  units.push_back(norm_unit(model, "final norm"));
  if (!model.tied_embeddings) units.push_back({"head", {table}});
  return units;
}

Weights initial_weights(const SmallModel& model, std::uint64_t seed) {
  Weights weights;
  Draw draw{seed, 0};
  for (const UnitSpec& unit : units_of(model)) {
    for (const ParameterSpec& spec : unit.parameters) {
      const bool matrix = spec.rows > 1 && unit.name != "words" && unit.name != "positions";
      const bool norm_weight = spec.rows == 1 && spec.name.ends_with("weight");
      const float width = matrix ? 1 / std::sqrt(static_cast<float>(spec.columns)) : 0.2F;
      std::vector<float> values(static_cast<std::size_t>(spec.rows * spec.columns));
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = (norm_weight ? 1.0F : 0.0F) + width * (2 * uniform(draw, i) - 1);
      weights[unit.name + "/" + spec.name] = std::move(values);
      ++draw.call;
    }
  }
  return weights;
}

std::vector<int> token_ids(const SmallModel& model, std::int64_t step, std::int64_t sequence_number) {
  const Draw draw{kTokenSeed + static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(sequence_number)};
  std::vector<int> ids(static_cast<std::size_t>(model.sequence + 1));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int>(uniform(draw, i) * static_cast<float>(model.vocab));
  return ids;
}

}  // namespace foretrain::parallel
