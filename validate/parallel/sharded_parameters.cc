#include "validate/parallel/sharded_parameters.h"

#include <algorithm>
#include <limits>

namespace foretrain::parallel {

const Parameter* Unit::find(std::string_view parameter) const {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.spec.name == parameter; });
  return found == parameters.end() ? nullptr : &*found;
}

const Parameter& Unit::operator[](std::string_view parameter) const {
  const Parameter* const found = find(parameter);
  FORETRAIN_CHECK(found != nullptr);
  return *found;
}

std::string full_name(const Unit& unit, const Parameter& parameter) { return unit.name + "/" + parameter.spec.name; }

Part part_of(const ParameterSpec& spec, int tensor_rank, int tensor_ranks) {
  if (spec.cut == Cut::none) return {};
  const std::int64_t parts = std::min<std::int64_t>(tensor_ranks, spec.most_parts);
  FORETRAIN_CHECK(tensor_ranks % parts == 0);
  return {tensor_rank / (tensor_ranks / parts), parts};
}

ShardedParameters::ShardedParameters(const ParallelPlan& plan, const Mesh& mesh, Math& math, bool tied)
    : plan_(plan), mesh_(mesh), math_(math), tied_(tied) {}

void ShardedParameters::add(const UnitSpec& spec, const Weights& weights, int tensor_rank) {
  std::vector<float> flat;
  std::vector<Part> parts;
  for (const ParameterSpec& parameter : spec.parameters) {
    parts.push_back(part_of(parameter, tensor_rank, plan_.tensor));
    const std::vector<float>& whole = weights.at(spec.name + "/" + parameter.name);
    const std::vector<float> piece = piece_of<float>(parameter, whole, parts.back().number, parts.back().of);
    flat.insert(flat.end(), piece.begin(), piece.end());
  }
  const auto ranks = static_cast<std::size_t>(mesh_.data->size());
  flat.resize((flat.size() + ranks - 1) / ranks * ranks);
  const auto size = static_cast<std::int64_t>(flat.size());

  Unit unit;
  unit.name = spec.name;
  unit.values = math_.upload(1, size, flat);
  unit.gradients = math_.zeros(1, size);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < spec.parameters.size(); ++i) {
    const ParameterSpec& parameter = spec.parameters[i];
    const std::int64_t rows = parameter.cut == Cut::rows ? parameter.rows / parts[i].of : parameter.rows;
    const std::int64_t columns = parameter.cut == Cut::columns ? parameter.columns / parts[i].of : parameter.columns;
    unit.parameters.push_back(
        {parameter, unit.values.view(offset, rows, columns), unit.gradients.view(offset, rows, columns)});
    offset += rows * columns;
  }
  const std::int64_t shard = size / mesh_.data->size();
  const Tensor mine = unit.values.view(mesh_.data->rank() * shard, 1, shard);
  unit.value_shard = sharded(1) ? mine : unit.values;
  if (sharded(3)) {
    unit.value_shard = math_.zeros(1, shard);
    math_.copy(mine, unit.value_shard);
  }
  unit.gradient_shard = sharded(1) ? math_.zeros(1, shard) : unit.gradients;
  unit.mean = math_.zeros(1, unit.value_shard.size());
  unit.square = math_.zeros(1, unit.value_shard.size());
  units_.push_back(std::move(unit));
  release(units_.back());
}

Unit& ShardedParameters::unit(std::string_view name) {
  const auto found = std::find_if(units_.begin(), units_.end(), [&](const Unit& u) { return u.name == name; });
  FORETRAIN_CHECK(found != units_.end());
  return *found;
}

void ShardedParameters::gather(Unit& unit) {
  if (sharded(3)) mesh_.data->all_gather(unit.value_shard.span(), unit.values.span(), "parameters");
}

void ShardedParameters::release(Unit& unit) {
  if (sharded(3)) math_.fill(std::numeric_limits<float>::quiet_NaN(), unit.values);
}

void ShardedParameters::sum_partial_gradients(const Unit& unit) {
  for (const Parameter& parameter : unit.parameters) {
    if (plan_.sequence_parallel && parameter.spec.in_sequence_region)
      mesh_.tensor->all_reduce(parameter.gradient.span(), Reduction::sum, "sequence-region gradients");
    if (parameter.spec.most_parts < plan_.tensor)
      mesh_.key_value->all_reduce(parameter.gradient.span(), Reduction::sum, "key-value gradients");
  }
}

void ShardedParameters::sum_tied_gradients() {
  if (!tied_) return;
  for (Unit& unit : units_) {
    if (unit.name != "words") continue;
    const Tensor& gradient = sharded(2) ? unit.gradient_shard : unit.gradients;
    mesh_.embedding->all_reduce(gradient.span(), Reduction::sum, "tied embedding gradients");
  }
}

void ShardedParameters::finish_backward(Unit& unit) {
  if (!sharded(2)) return;
  sum_partial_gradients(unit);
  const Tensor reduced = math_.zeros(1, unit.gradient_shard.size());
  mesh_.data->reduce_scatter(unit.gradients.span(), reduced.span(), Reduction::mean, "data gradients");
  math_.add(reduced, 1, unit.gradient_shard);
  math_.fill(0, unit.gradients);
}

void ShardedParameters::reduce_gradients() {
  if (!sharded(2)) {
    for (const Unit& unit : units_) sum_partial_gradients(unit);
  }
  sum_tied_gradients();
  for (Unit& unit : units_) {
    if (plan_.zero_stage == 0)
      mesh_.data->all_reduce(unit.gradients.span(), Reduction::mean, "data gradients");
    else if (plan_.zero_stage == 1)
      mesh_.data->reduce_scatter(unit.gradients.span(), unit.gradient_shard.span(), Reduction::mean, "data gradients");
  }
}

void ShardedParameters::update(const AdamOptions& options, std::int64_t step) {
  for (Unit& unit : units_) {
    math_.adam(options, step, unit.gradient_shard, unit.mean, unit.square, unit.value_shard);
    if (plan_.zero_stage == 1 || plan_.zero_stage == 2)
      mesh_.data->all_gather(unit.value_shard.span(), unit.values.span(), "parameters");
    math_.fill(0, unit.gradients);
    math_.fill(0, unit.gradient_shard);
  }
}

Tensor ShardedParameters::whole(const Unit& unit, const Tensor& shard) {
  Tensor all = math_.zeros(1, unit.values.size());
  mesh_.data->all_gather(shard.span(), all.span(), "report");
  return all;
}

Tensor ShardedParameters::whole_gradient(const Unit& unit) {
  return sharded(1) ? whole(unit, unit.gradient_shard) : unit.gradients;
}

Tensor ShardedParameters::whole_values(const Unit& unit) {
  return sharded(3) ? whole(unit, unit.value_shard) : unit.values;
}

}  // namespace foretrain::parallel
