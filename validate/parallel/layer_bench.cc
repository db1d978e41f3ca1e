#include "validate/parallel/layer_bench.h"

#include <algorithm>

namespace foretrain::parallel {
namespace {

constexpr std::uint64_t kSeed = 1;

std::vector<std::vector<int>> all_positions(const SmallModel& model, const ParallelPlan& plan) {
  std::vector<std::vector<int>> positions;
  for (int c = 0; c < plan.context; ++c) positions.push_back(positions_of(model.sequence, c, plan.context));
  return positions;
}

}  // namespace

LayerBench::LayerBench(const SmallModel& model, const ParallelPlan& plan, const std::string& unit, const CheckRun& run)
    : model_(model),
      plan_(plan),
      run_(run),
      rules_(run.fault != nullptr ? rules_with(*run.fault, plan_) : PlaceRules()),
      mesh_(mesh_of(plan_, model_.kv_heads, run.world)),
      streams_(rules_.streams(kSeed, mesh_.place)),
      rank_{run.math, mesh_, model_, plan_, *streams_, all_positions(model_, plan_)},
      parameters_(plan_, mesh_, run.math, false) {
  for (const UnitSpec& spec : units_of(model_)) {
    if (spec.name == unit) parameters_.add(spec, initial_weights(model_, kSeed), rules_.weights(mesh_.place).tensor);
  }
  FORETRAIN_CHECK(parameters_.units().size() == 1);
}

std::vector<double> LayerBench::rows(const std::vector<Matrix>& whole, bool inside) const {
  const std::int64_t count = inside ? rank_.whole_rows() : rank_.own_rows();
  const std::int64_t first = inside || !plan_.sequence_parallel ? 0 : count * mesh_.place.tensor;
  std::vector<double> values;
  for (std::int64_t row = first; row < first + count; ++row) {
    const Matrix& sequence = whole[static_cast<std::size_t>(row % plan_.micro_batch)];
    const int position = rank_.own_positions()[static_cast<std::size_t>(row / plan_.micro_batch)];
    for (std::int64_t c = 0; c < sequence.columns; ++c) values.push_back(sequence(position, c));
  }
  return values;
}

Tensor LayerBench::upload_rows(const std::vector<Matrix>& whole, bool inside) const {
  const std::vector<double> values = rows(whole, inside);
  std::vector<float> floats;
  for (const double value : values) floats.push_back(static_cast<float>(value));
  const std::int64_t columns = whole.front().columns;
  return rank_.math.upload(static_cast<std::int64_t>(floats.size()) / columns, columns, floats);
}

void LayerBench::compare_rows(std::string_view where, const Tensor& got, const std::vector<Matrix>& wanted,
                              bool inside) {
  double scale = 0;
  for (const Matrix& sequence : wanted) scale = std::max(scale, largest(sequence.values));
  run_.difference.compare(where, rank_.math.download(got), rows(wanted, inside), allowed(), scale);
}

void LayerBench::compare_gradients(const ReferenceWeights& wanted) {
  parameters_.reduce_gradients();
  double scale = 0;
  for (const Parameter& parameter : unit().parameters)
    scale = std::max(scale, largest(wanted.at(full_name(unit(), parameter)).values));
  for (const Parameter& parameter : unit().parameters) {
    const Matrix& whole = wanted.at(full_name(unit(), parameter));
    const Part part = part_of(parameter.spec, mesh_.place.tensor, plan_.tensor);
    std::vector<double> piece = piece_of<double>(parameter.spec, whole.values, part.number, part.of);
    // The data group, here the context ranks, averages what the reference sums.
    for (double& value : piece) value /= mesh_.data->size();
    run_.difference.compare("gradient of " + parameter.spec.name, rank_.math.download(parameter.gradient), piece,
                            allowed(), scale / mesh_.data->size() / 10);
  }
}

void LayerBench::require_calls(Communicator& group, Operation operation, std::int64_t calls, const std::string& when) {
  const std::int64_t expected = group.size() > 1 ? calls : 0;
  run_.difference.require(group.calls(operation) == expected, std::string(name_of(operation)) + " calls of " +
                                                                  group.name() + " " + when + ": " +
                                                                  std::to_string(group.calls(operation)));
}

double LayerBench::allowed() const {
  const std::int64_t sums = 2 * model_.hidden + model_.ffn_hidden + model_.heads * model_.head_dim + model_.head_dim +
                            model_.sequence * (1 + plan_.micro_batch) + model_.vocab;
  return condition_ * rounding_tolerance(3 * sums);
}

std::vector<Matrix> random_matrices(std::int64_t count, std::int64_t rows, std::int64_t columns, double width,
                                    std::uint64_t seed) {
  std::vector<Matrix> matrices;
  for (std::int64_t i = 0; i < count; ++i) {
    Matrix matrix(rows, columns);
    for (std::size_t j = 0; j < matrix.values.size(); ++j) {
      // Rounded to float, so that both sides start from the same numbers.
      const double value = width * (2 * double{uniform({seed, static_cast<std::uint64_t>(i)}, j)} - 1);
      matrix.values[j] = double{static_cast<float>(value)};
    }
    matrices.push_back(std::move(matrix));
  }
  return matrices;
}

}  // namespace foretrain::parallel
